"""`diffmem theory`: the random-features theory, a figure with its tables."""

import argparse
import sys
from pathlib import Path

from diffmem.errors import InputError

SUMMARY = "compute the random-features theory: a figure with its tables"

# each is a function of theory.tables, which computes it, and of analysis.figures.theory, which draws it
FIGURES = ("spectrum", "curves", "timescales", "predict")


KEYS = """\
keys, with their defaults (`diffmem theory --cfg [overrides]` shows the settings, and does nothing):
  psi_p=8 psi_n=3 t=0.1 activation=tanh     the model; also erf, sin, relu
  covariance=isotropic                      or levels, power_law, data
    eigenvalues=[0.5,1.5] weights=[0.5,0.5] of levels
    exponent=1.5 count=256                  of power_law
    data=digits                             of data; any set that `diffmem train` takes
  draws=2 features=sampled d=null seed=0    simulated draws of `spectrum` and `curves`: the network itself; or
                                            gaussian, its Gaussian equivalent, which the theory solves
  psi_n_grid=[8,16,32,64,128] psi_p_per_n=4 of `timescales`
  n=[64,128,256,512,1024]                   of `predict`
  points=80                                 training times of a curve
  out=null                                  folder; null: one named after the settings, in runs/theory
some shells, such as zsh, take [..] for themselves: quote it, as in 'n=[64,128]'."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cfg", action="store_true", help="show the settings, and do nothing")
    parser.add_argument("what", nargs="?", metavar="figure", help=f"one of {', '.join(FIGURES)}")
    parser.add_argument("overrides", nargs="*", help="such as psi_p=32 psi_n=8 t=0.01; predict takes a data set first")
    parser.epilog = KEYS


def run(arguments: argparse.Namespace) -> int:
    from diffmem.config import compose

    if arguments.cfg:
        print(compose.describe_theory(_overrides(arguments)))
        return 0
    if arguments.what not in FIGURES:
        raise InputError(f"{arguments.what or 'nothing'} is no figure of the theory: give {', '.join(FIGURES)} first.")
    config = compose.compose_theory(_overrides(arguments))
    from diffmem.analysis.figures import theory as figures
    from diffmem.files import check_folder
    from diffmem.theory import tables

    folder = Path(config.folder(arguments.what))
    check_folder(folder, "out")
    made: tables.Made = getattr(tables, arguments.what)(config, lambda words: print(words, file=sys.stderr))
    facts = {"settings": config.to_mapping(), **made.facts}
    figure = getattr(figures, arguments.what)(made.table, facts)
    png, *_ = figures.write(figure, made.table, facts, folder, arguments.what)
    print(made.sentence)
    print(f"Figure: {png}, with its svg, csv and json")
    return 0


def _overrides(arguments: argparse.Namespace) -> list[str]:
    """The overrides, where `predict digits` is short for `predict data=digits`, and --cfg needs no figure."""
    words = list(arguments.overrides)
    if arguments.what == "predict" and words and "=" not in words[0]:
        words[0] = f"data={words[0]}"
    return words if arguments.what in FIGURES or arguments.what is None else [arguments.what, *words]
