"""What `fit`, `figures` and `report` share: which runs they read, how times are read off, and what is said."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from diffmem.cli.numbers import number, whole
from diffmem.definitions import BIAS_WORDS, GEN_WORDS, MEM_WORDS

if TYPE_CHECKING:
    from diffmem.analysis.pipeline import Fitted

DEFINITIONS = "\n".join(
    f"definitions of {name}: {', '.join(words)}"
    for name, words in (("tau_mem", MEM_WORDS), ("tau_gen", GEN_WORDS), ("tau_bias", BIAS_WORDS))
)


def add_family(parser: argparse.ArgumentParser) -> None:
    """The source, the folder, and the fields of `diffmem.analysis.pipeline.Choices`."""
    parser.add_argument(
        "source",
        help="a folder of run directories, a csv with the columns of metrics.csv, or a folder of the study's own code",
    )
    parser.add_argument(
        "--out",
        help="folder for what is written (default: the folder of runs itself; of a csv or one run runs/fit/NAME)",
    )
    parser.add_argument("--mem", metavar="DEFINITION", default=next(iter(MEM_WORDS)), help="definition of tau_mem")
    parser.add_argument("--gen", metavar="DEFINITION", default=next(iter(GEN_WORDS)), help="definition of tau_gen")
    parser.add_argument("--bias", metavar="DEFINITION", default=next(iter(BIAS_WORDS)), help="definition of tau_bias")
    parser.add_argument(
        "--level",
        type=number(-1e300, 1e300),
        help="level of quality common to the runs (default: half of the best trivial generator's kernel distance; of "
        "other measures half way, in log, from it to real images)",
    )
    parser.add_argument(
        "--quality", metavar="COLUMN", help="measure of quality, such as fd_pca64 (default: the kernel distance)"
    )
    parser.add_argument(
        "--loss-t",
        type=whole(),
        metavar="T",
        help="diffusion time of losses (default: the smallest) and scores (the largest)",
    )
    parser.add_argument(
        "--samples", type=whole(1, 10**9), help="samples behind a percentage of the study's files (default: 10000)"
    )
    add_group(parser)
    parser.epilog = DEFINITIONS


def add_group(parser: argparse.ArgumentParser) -> None:
    """Which runs err together, for the intervals of laws and predictions."""
    parser.add_argument(
        "--group",
        default="auto",
        help="which runs err together: those of one n, of one W and of one seed (n), those of one seed (seed), or "
        "none; by default n where n repeats, else none",
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """The folder of the training images, for verbs that show them."""
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="folder of the training images, where data.root names one (a folder that only a run names is not opened)",
    )


def fitted(arguments: argparse.Namespace) -> "Fitted":
    """The family that the arguments name, fitted."""
    from diffmem.analysis import pipeline

    choices = pipeline.Choices(**{field.name: getattr(arguments, field.name) for field in fields(pipeline.Choices)})
    return pipeline.fit(arguments.source, choices, arguments.out)


def say(result: "Fitted") -> None:
    """The law on standard output, notes on standard error."""
    notes(result.family.warnings)
    print(result.sentence)


def notes(lines: Sequence[str]) -> None:
    """What was left out, on standard error."""
    for line in lines:
        print(f"diffmem: note: {line}", file=sys.stderr)
