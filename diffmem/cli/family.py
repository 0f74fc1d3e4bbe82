"""What `fit`, `figures` and `report` share: which runs they read, how times are read off, and what is said."""

import argparse
import sys
from typing import TYPE_CHECKING

from diffmem.definitions import GEN_WORDS, MEM_WORDS

if TYPE_CHECKING:
    from diffmem.analysis.pipeline import Fitted

DEFINITIONS = f"definitions of tau_mem: {', '.join(MEM_WORDS)}\ndefinitions of tau_gen: {', '.join(GEN_WORDS)}"


def add_family(parser: argparse.ArgumentParser) -> None:
    """The source, the folder, and the fields of `diffmem.analysis.pipeline.Choices`."""
    parser.add_argument(
        "source",
        help="a folder of run directories, a csv with the columns of metrics.csv, or a folder of the study's own code",
    )
    parser.add_argument("--out", help="folder for what is written (default: the folder itself; beside a csv)")
    parser.add_argument("--mem", metavar="DEFINITION", default=next(iter(MEM_WORDS)), help="definition of tau_mem")
    parser.add_argument("--gen", metavar="DEFINITION", default=next(iter(GEN_WORDS)), help="definition of tau_gen")
    parser.add_argument("--level", type=float, help="level of quality common to the runs (default: from their best)")
    parser.add_argument("--quality", metavar="COLUMN", help="measure of quality, such as fd_pca64")
    parser.add_argument("--loss-t", type=int, metavar="T", help="diffusion time of losses (default: the smallest)")
    parser.add_argument("--samples", type=int, help="samples behind a percentage of the study's files (default: 10000)")
    parser.epilog = DEFINITIONS


def fitted(arguments: argparse.Namespace) -> "Fitted":
    """The family that the arguments name, fitted."""
    from diffmem.analysis import pipeline

    choices = pipeline.Choices(
        mem=arguments.mem,
        gen=arguments.gen,
        level=arguments.level,
        quality=arguments.quality,
        loss_t=arguments.loss_t,
        samples=arguments.samples,
    )
    return pipeline.fit(arguments.source, choices, arguments.out)


def say(result: "Fitted") -> None:
    """The law on standard output, notes on standard error."""
    for note in result.family.warnings:
        print(f"diffmem: note: {note}", file=sys.stderr)
    print(result.sentence)
