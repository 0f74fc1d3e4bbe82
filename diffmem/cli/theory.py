"""`diffmem theory`: the random-features theory, a figure with its tables."""

import argparse
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from diffmem.errors import InputError

if TYPE_CHECKING:
    from diffmem.theory.tables import Made

SUMMARY = "compute the random-features theory: a figure with its tables"

# figure -> modules of diffmem.theory and analysis.figures: a function of its name computes it, and one draws it
FIGURES = {
    "spectrum": ("tables", "theory"),
    "curves": ("tables", "theory"),
    "timescales": ("tables", "theory"),
    "predict": ("tables", "theory"),
    "score_error": ("score_error", "theory_score"),
    "overlay": ("overlay", "theory_overlay"),
}


KEYS = """\
keys, with their defaults (`diffmem theory --cfg [overrides]` shows the settings, and does nothing):
  psi_p=8 psi_n=3 t=0.1 activation=tanh     the model; also erf, sin, relu
  covariance=isotropic                      or levels, power_law, data
    eigenvalues=[0.5,1.5] weights=[0.5,0.5] of levels
    exponent=1.5 count=256                  of power_law
    data=digits                             of data; any set that `diffmem train` takes
  draws=2 features=sampled d=null seed=0    simulated draws of `spectrum` and `curves`: the network itself; or
                                            gaussian, its Gaussian equivalent, which the theory solves
  psi_n_grid=[8,16,32,64,128] psi_p_per_n=4 of `timescales`; the first also of `score_error`
  n=[64,128,256,512,1024]                   of `predict`
  family=null at=null                       of `overlay`: folder of runs, diffusion time of their losses
  points=80                                 training times of a curve
  out=null                                  folder; null: one named after the settings, in runs/theory
some shells, such as zsh, take [..] for themselves: quote it, as in 'n=[64,128]'."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cfg", action="store_true", help="show the settings, and do nothing")
    parser.add_argument("what", nargs="?", metavar="figure", help=f"one of {', '.join(FIGURES)}")
    parser.add_argument(
        "overrides",
        nargs="*",
        help="such as psi_p=32 psi_n=8 t=0.01; predict takes a data set first, overlay a folder of runs",
    )
    parser.epilog = KEYS


def run(arguments: argparse.Namespace) -> int:
    from diffmem.config import compose

    if arguments.cfg:
        print(compose.describe_theory(_overrides(arguments)))
        return 0
    if arguments.what not in FIGURES:
        raise InputError(f"{arguments.what or 'nothing'} is no figure of the theory: give {', '.join(FIGURES)} first.")
    config = compose.compose_theory(_overrides(arguments))
    from diffmem.analysis.figures.theory import write
    from diffmem.files import check_folder

    folder = Path(config.folder(arguments.what))
    check_folder(folder, "out")
    computed, drawn = (
        getattr(importlib.import_module(f"diffmem.{room}.{name}"), arguments.what)
        for room, name in zip(("theory", "analysis.figures"), FIGURES[arguments.what], strict=True)
    )
    given: list[object] = []
    if arguments.what == "overlay":
        from diffmem.cli.overlay import read_networks

        config, *given = read_networks(config)
    made: Made = computed(config, *given, lambda words: print(words, file=sys.stderr))
    facts = {"settings": config.to_mapping(), **made.facts}
    png, *_ = write(drawn(made.table, facts), made.table, facts, folder, arguments.what)
    print(made.sentence)
    print(f"Figure: {png}, with its svg, csv and json")
    return 0


def _overrides(arguments: argparse.Namespace) -> list[str]:
    """The overrides, where `predict digits` is short for `predict data=digits`, and --cfg needs no figure."""
    words = list(arguments.overrides)
    short = {"predict": "data", "overlay": "family"}.get(arguments.what)
    if short and words and "=" not in words[0]:
        words[0] = f"{short}={words[0]}"
    return words if arguments.what in FIGURES or arguments.what is None else [arguments.what, *words]
