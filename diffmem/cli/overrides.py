"""Hydra's overrides as arguments of a verb."""

import argparse

EPILOG = """\
overrides are Hydra's: key=value, such as data.n=64 model.width=16 optimizer=sgd seed=1 out=runs/mine.
`diffmem train --cfg [overrides]` shows every key with its value, and the choices of each group."""


def add_overrides(parser: argparse.ArgumentParser, words: str | None = None) -> None:
    """The rest of the line; `words` says more about it."""
    parser.add_argument("overrides", nargs="*", help=words)
    parser.epilog = EPILOG
