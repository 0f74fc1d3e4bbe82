"""`diffmem theory`: the random-features theory, a figure with its tables."""

import argparse
from pathlib import Path

SUMMARY = "compute the random-features theory: a figure with its tables"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("spectrum", "curves", "timescales", "predict"))
    parser.add_argument("overrides", nargs="*", help="such as psi_p=32 psi_n=8 t=0.01; predict takes a data set first")


def run(arguments: argparse.Namespace) -> int:
    from diffmem.config import compose

    overrides = arguments.overrides
    if arguments.what == "predict" and overrides and "=" not in overrides[0]:
        overrides = [f"data={overrides[0]}", *overrides[1:]]
    config = compose.compose_theory(overrides)
    from diffmem.analysis.figures import theory as theory_figures
    from diffmem.files import check_folder
    from diffmem.theory.tables import VERBS

    folder = Path(config.out or "runs/theory")
    check_folder(folder, "out")
    made = VERBS[arguments.what](config)
    png, *_ = theory_figures.write(arguments.what, made.table, made.facts, folder)
    print(made.sentence)
    print(f"Figure: {png}, with its svg, csv and json")
    return 0
