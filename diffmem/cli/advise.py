"""`diffmem advise`: when a run should stop."""

import argparse

from diffmem.cli.family import add_group
from diffmem.cli.numbers import whole

SUMMARY = "say when a run should stop, from what it and its family have shown"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a run directory; the other runs of its folder are its family")
    parser.add_argument(
        "--at", type=whole(), metavar="STEP", help="as it would have been when the run stood at this step"
    )
    add_group(parser)


def run(arguments: argparse.Namespace) -> int:
    from diffmem.analysis import pipeline

    print("\n".join(pipeline.advice(arguments.run, arguments.at, arguments.group).sentences))
    return 0
