"""`diffmem train`: one run to its end, or a grid through Hydra's own launcher."""

import argparse
from typing import TYPE_CHECKING

from diffmem.cli.family import notes
from diffmem.cli.overrides import add_overrides

if TYPE_CHECKING:
    from diffmem.config.settings import Config
    from diffmem.config.tracker import Tracker

SUMMARY = "train one run and measure its checkpoints, or go on with it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--multirun", action="store_true", help="run a grid through Hydra's own launcher")
    parser.add_argument("--cfg", action="store_true", help="show the settings and the choices, and do nothing")
    add_overrides(parser)


def run(arguments: argparse.Namespace) -> int:
    from diffmem.config import compose

    if arguments.cfg:
        print(compose.describe(arguments.overrides))
        return 0
    tracker = compose.compose_tracker(arguments.overrides)
    if arguments.multirun:
        return _multirun(arguments.overrides, tracker)
    return _train(compose.compose(arguments.overrides), tracker)


def _train(config: "Config", tracker: "Tracker") -> int:
    from diffmem.sweep.progress import Progress
    from diffmem.trackers.base import check
    from diffmem.trackers.beside import beside
    from diffmem.training.plan import plan
    from diffmem.training.session import execute

    planned = plan(config)
    notes(planned.notes)
    check(tracker)
    with beside(planned.run.path, tracker, getattr(config.data, "root", None)), Progress([planned.run]):
        outcome = execute(planned)
    if not outcome.worked:
        print(f"{planned.run.path}: nothing to do, the run is over ({outcome.why}).")
    else:
        print(f"{planned.run.path}: {outcome.status}, {outcome.why}.")
    return outcome.exit_code


def _multirun(overrides: list[str], tracker: "Tracker") -> int:
    from diffmem.config import compose
    from diffmem.sweep.grid import plan_grid

    plan_grid(compose.compose_grid(overrides))  # all bad input is found before the first run
    worst = 0

    def task(config: "Config") -> None:
        nonlocal worst
        worst = max(worst, _train(config, tracker))

    compose.multirun(overrides, task)
    return worst
