"""`diffmem figures`: the figures of a family of runs."""

import argparse

from diffmem.cli.family import add_family, fitted

SUMMARY = "fit a family of runs and draw its figures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_family(parser)
    parser.add_argument("names", nargs="*", help="names of figures, such as times_vs_n (default: all there are)")


def run(arguments: argparse.Namespace) -> int:
    from diffmem.analysis import pipeline
    from diffmem.runs import neighbour_sheet

    result = fitted(arguments)
    drawn = pipeline.draw(result, pipeline.read_sheets(result, neighbour_sheet), arguments.names)
    print(f"{result.folder / 'figures'}: {', '.join(drawn)}")
    return 0
