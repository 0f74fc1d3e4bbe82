"""`diffmem evaluate`: rows of metrics from a run's stored checkpoints."""

import argparse
import sys
import time
from pathlib import Path

from diffmem.cli.family import notes
from diffmem.cli.overrides import add_overrides
from diffmem.cli.words import duration

SUMMARY = "measure a run's stored checkpoints, also under other eval settings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a run directory")
    add_overrides(parser, "keys of eval, sampler and device")


class Shown:
    """Says on standard error which checkpoint is measured, and how long the rest will take."""

    def __init__(self) -> None:
        self._began = 0.0

    def __call__(self, step: int, number: int, count: int) -> None:
        words = f"measuring step {step}, {number} of {count}"
        if number == 1:
            self._began = time.monotonic()
        else:
            passed = time.monotonic() - self._began
            words += f": {duration(passed / (number - 1) * (count - number + 1))} left"
        print(words, file=sys.stderr, flush=True)


def run(arguments: argparse.Namespace) -> int:
    from diffmem.config import compose
    from diffmem.store import RunDir
    from diffmem.training.plan import plan_evaluation
    from diffmem.training.session import fill
    from diffmem.training.signals import Interrupted

    run = RunDir(Path(arguments.run))
    configs = compose.evaluation_grid(run.read_config(), arguments.overrides, run.config_path)
    plans = [plan_evaluation(run, config) for config in configs]
    notes([*dict.fromkeys(note for planned in plans for note in planned.notes)])
    for planned in plans:
        try:
            folder, made = fill(planned, Shown())
        except Interrupted:
            print(f"{run.path}: interrupted; the same command goes on from here.")
            return 130
        print(f"{folder}: " + (f"{made} rows computed." if made else "nothing to do, every row is there."))
    return 0
