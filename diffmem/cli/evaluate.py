"""`diffmem evaluate`: rows of metrics from a run's stored checkpoints."""

import argparse
from pathlib import Path

from diffmem.cli.overrides import add_overrides

SUMMARY = "measure a run's stored checkpoints, also under other eval settings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a run directory")
    add_overrides(parser, "keys of eval, sampler and device")


def run(arguments: argparse.Namespace) -> int:
    from diffmem.config import compose
    from diffmem.store import RunDir
    from diffmem.training.plan import plan_evaluation
    from diffmem.training.session import fill
    from diffmem.training.signals import Interrupted

    run = RunDir(Path(arguments.run))
    config = compose.override_evaluation(run.read_config(), arguments.overrides)
    try:
        folder, made = fill(plan_evaluation(run, config))
    except Interrupted:
        print(f"{run.path}: interrupted; the same command goes on from here.")
        return 130
    print(f"{folder}: " + (f"{made} rows computed." if made else "nothing to do, every row is there."))
    return 0
