"""`diffmem theory`: the random-features theory, a figure with its tables."""

import argparse
from pathlib import Path

SUMMARY = "compute the random-features theory: a figure with its tables"

# each is a function of theory.tables, which computes it, and of analysis.figures.theory, which draws it
FIGURES = ("spectrum", "curves", "timescales", "predict")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=FIGURES)
    parser.add_argument("overrides", nargs="*", help="such as psi_p=32 psi_n=8 t=0.01; predict takes a data set first")


def run(arguments: argparse.Namespace) -> int:
    from diffmem.config import compose

    config = compose.compose_theory(_overrides(arguments))
    from diffmem.analysis.figures import theory as figures
    from diffmem.files import check_folder
    from diffmem.theory import tables

    folder = Path(config.out or "runs/theory")
    check_folder(folder, "out")
    made: tables.Made = getattr(tables, arguments.what)(config)
    facts = {"settings": config.to_mapping(), **made.facts}
    figure = getattr(figures, arguments.what)(made.table, facts)
    png, *_ = figures.write(figure, made.table, facts, folder, arguments.what)
    print(made.sentence)
    print(f"Figure: {png}, with its svg, csv and json")
    return 0


def _overrides(arguments: argparse.Namespace) -> list[str]:
    """The overrides, where `predict digits` is short for `predict data=digits`."""
    first, *rest = arguments.overrides or [""]
    if arguments.what == "predict" and first and "=" not in first:
        return [f"data={first}", *rest]
    return list(arguments.overrides)
