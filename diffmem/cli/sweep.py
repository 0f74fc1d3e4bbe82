"""`diffmem sweep`: a grid of runs through an executor, then its fit, figures and report."""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffmem.cli import report
from diffmem.cli.family import notes
from diffmem.cli.numbers import whole
from diffmem.cli.overrides import add_overrides
from diffmem.errors import InputError

if TYPE_CHECKING:
    from diffmem.config.settings import Config
    from diffmem.config.tracker import Tracker
    from diffmem.sweep.estimate import Estimate
    from diffmem.sweep.grid import RunResult
    from diffmem.training.plan import Plan

FREE = ("executor", "device=", "threads=", "hydra")  # overrides that change no run
SHARED = 20  # runs of one sentence that are named each
SUMMARY = "run a grid through an executor, then fit, draw and report it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--adaptive", action="store_true", help="spend runs where they sharpen the boundary in n most")
    parser.add_argument(
        "--runs", type=whole(), metavar="N", help="runs to spend (default: a third of the grid, at least 4)"
    )
    parser.add_argument("--step", type=whole(), help="training step of the boundary (default: train.steps)")
    parser.add_argument("--dry-run", action="store_true", help="say what the sweep will cost, and do nothing")
    parser.add_argument(
        "--devices",
        type=whole(1, 10**6),
        metavar="N",
        help="devices of executor.tflops that a dry run counts with (default: 1)",
    )
    parser.add_argument("--json", action="store_true", help="a dry run's numbers as JSON, every run by itself")
    parser.add_argument("--cfg", action="store_true", help="show the grid and the settings, and do nothing")
    add_overrides(parser, "default: experiment=quickstart")


@dataclass(frozen=True)
class Sweep:
    """The runs of a grid, planned, and where they send what they write."""

    plans: "list[Plan]"
    tracker: "Tracker"


def run(arguments: argparse.Namespace) -> int:
    from diffmem.config import compose
    from diffmem.sweep.estimate_table import as_mapping, described

    _check_options(arguments)
    overrides = _with_experiment(arguments.overrides, asked=not (arguments.cfg or arguments.dry_run))
    if arguments.cfg:
        print(compose.describe_grid(overrides))
        return 0
    if arguments.dry_run:
        cost = estimated(compose.compose_grid(overrides), arguments.devices)
        print(json.dumps(as_mapping(cost), indent=1) if arguments.json else described(cost))
        return 0
    planned = prepare(overrides)
    if arguments.adaptive and (shown := _differences(planned.plans)):
        raise InputError(
            f"--adaptive spends runs of one law, and these differ in {shown}: sweep one setting at a time."
        )
    return carry_out(planned, (lambda plans: _run_adaptively(plans, arguments)) if arguments.adaptive else run_plans)


def prepare(overrides: list[str]) -> Sweep:
    """The runs that `overrides` name. Raises InputError for what cannot be run, before anything is written."""
    from diffmem.config import compose
    from diffmem.sweep.grid import plan_grid
    from diffmem.trackers.base import check

    plans, tracker = plan_grid(compose.compose_grid(overrides)), compose.compose_tracker(overrides)
    check(tracker)
    return Sweep(plans, tracker)


def run_plans(plans: "list[Plan]") -> "list[RunResult]":
    """Run all of `plans` under a progress display."""
    from diffmem.sweep.grid import run_all
    from diffmem.sweep.progress import Progress

    return run_all(plans, Progress([planned.run for planned in plans]))


def carry_out(
    sweep: Sweep, spend: "Callable[[list[Plan]], list[RunResult]]" = run_plans, *, reported: bool = True
) -> int:
    """Run the sweep by `spend`, say what became of each run and, where `reported`, report the folder.

    Returns the exit code, which is above 2 where the runs were interrupted: then nothing is reported.
    """
    from diffmem.analysis import pipeline
    from diffmem.executors import auto
    from diffmem.trackers.beside import beside

    plans = sweep.plans
    if reported and (shown := _differences(plans)):
        why = "so they have no common law: they are run, and not fitted"
        notes([f"the runs differ in {shown}, {why}. For a law, sweep each setting into a folder of its own (out=)."])
        reported = False
    notes([*dict.fromkeys(note for planned in plans for note in planned.notes), *auto.notes(plans[0].config)])
    # the user's own words: its images may be shown
    folder, root = plans[0].run.path.parent, getattr(plans[0].config.data, "root", None)
    with beside(folder, sweep.tracker, root):
        results = spend(plans)
        _print(results)
        code = max(result.exit_code for result in results)
        if not any(result.worked for result in results) and code == 0:
            print("Nothing to do: every run of the sweep is over.")
        if code > 2 or not reported:
            return code
        sampled = any(planned.config.can_sample for planned in plans)
        choices = None if sampled else pipeline.Choices(mem="overfit_onset", gen="loss_reaches")
        return max(code, report.write_report(pipeline.fit(folder, choices), root))


def _with_experiment(overrides: list[str], asked: bool) -> list[str]:
    """The overrides, of the quickstart where no experiment is named.

    Raises InputError where they (if `asked` to run) would change the quickstart's runs without a word about it.
    """
    if any(word.startswith("experiment=") for word in overrides):
        return overrides
    other = [word for word in overrides if not word.startswith(FREE)]
    if asked and other and not any(word.startswith("out=") for word in overrides):
        words = " ".join(other)
        raise InputError(
            f"{words} without an experiment would add runs to the quickstart, in runs/quickstart: say "
            f"experiment=quickstart for that, or experiment=null out=runs/mine for a grid of your own."
        )
    return ["experiment=quickstart", *overrides]


def _differences(plans: "list[Plan]") -> str:
    """The options in which the runs differ that must agree for a common law, or ''."""
    from diffmem.analysis.tables.family import differences, dotted

    return differences([dict(dotted(planned.config.to_mapping())) for planned in plans])


def _print(results: "Sequence[RunResult]") -> None:
    """What became of each run; what many share is said once."""
    shared = Counter(result.sentence for result in results)
    for sentence, count in shared.items():
        if count > SHARED:
            print(f"{count} runs: {sentence}")
    for result in results:
        if shared[result.sentence] <= SHARED:
            print(f"{result.run.path}: {result.sentence}")


def _check_options(arguments: argparse.Namespace) -> None:
    """Refuse options that another option is needed for, or that do not go together."""
    for name in ("runs", "step"):
        if getattr(arguments, name) is not None and not arguments.adaptive:
            raise InputError(f"--{name} is for an adaptive sweep: add --adaptive, or leave it out.")
    for name, given in (("devices", arguments.devices is not None), ("json", arguments.json)):
        if given and not arguments.dry_run:
            raise InputError(f"--{name} is for a dry run: add --dry-run, or leave it out.")
    for name in ("adaptive", "cfg"):
        if getattr(arguments, name) and arguments.dry_run:
            raise InputError(
                f"--dry-run says what the whole grid will cost, which --{name} has no use for: leave one out."
            )


def estimated(configs: "list[Config]", devices: int | None = None) -> "Estimate":
    """What the runs of `configs` will cost, on so many `devices` of executor.tflops."""
    from diffmem.executors.base import width
    from diffmem.sweep.estimate import estimate, planner
    from diffmem.sweep.grid import plan_grid

    plans = plan_grid(configs, planner)
    elsewhere = plans[0].config.executor.tflops is not None
    if devices is not None and not elsewhere:
        raise InputError(
            f"--devices {devices} needs what one of them sustains: add executor.tflops, such as "
            "executor.tflops=60, or leave it out for the time on this machine."
        )
    at_once, lanes = (devices or 1,) * 2 if elsewhere else width(plans[0].config)
    return estimate(plans, lanes, at_once)


def _run_adaptively(plans: "list[Plan]", arguments: argparse.Namespace) -> "list[RunResult]":
    from diffmem.analysis.laws import proposal
    from diffmem.analysis.tables.family import read_table
    from diffmem.analysis.times.family import family_times
    from diffmem.sweep import adaptive
    from diffmem.sweep.progress import Progress

    runs, step = adaptive.budget(plans, arguments.runs), adaptive.boundary_step(plans, arguments.step)

    def choose(candidates: Sequence[adaptive.Point], number: int) -> proposal.Proposal:
        times = family_times(read_table(plans[0].run.path.parent), n_boot=0)
        return proposal.propose_next(times, candidates, step=step, number=number)

    return adaptive.run_adaptively(plans, choose, runs, Progress, lambda line: print(line, flush=True))
