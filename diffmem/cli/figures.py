"""`diffmem figures`: the figures of a family of runs."""

import argparse
from pathlib import Path

from diffmem.cli.family import add_data, add_family, fitted, notes

SUMMARY = "fit a family of runs and draw its figures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_family(parser)
    add_data(parser)
    parser.add_argument("names", nargs="*", help="names of figures, such as times_vs_n (default: all there are)")


def run(arguments: argparse.Namespace) -> int:
    from diffmem.analysis import pipeline
    from diffmem.pictures import Pictures

    result = fitted(arguments)
    pictures = Pictures(Path(arguments.data) if arguments.data else None)
    drawn = pipeline.draw(result, pipeline.material(result, pictures), arguments.names)
    notes(pictures.notes)
    print(f"{result.folder / 'figures'}: {', '.join(drawn)}")
    return 0
