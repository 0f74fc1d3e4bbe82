"""`diffmem sweep`: a grid of runs through an executor, then its fit, figures and report."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from diffmem.cli import report
from diffmem.cli.overrides import add_overrides
from diffmem.errors import InputError

if TYPE_CHECKING:
    from diffmem.sweep.grid import RunResult
    from diffmem.training.plan import Plan

SUMMARY = "run a grid through an executor, then fit, draw and report it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--adaptive", action="store_true", help="spend runs where they sharpen the boundary in n most")
    parser.add_argument(
        "--runs", type=int, metavar="N", help="runs to spend (default: a third of the grid, at least 4)"
    )
    parser.add_argument("--step", type=int, help="training step of the boundary (default: train.steps)")
    add_overrides(parser, "default: experiment=quickstart")


def run(arguments: argparse.Namespace) -> int:
    from diffmem.analysis import pipeline
    from diffmem.config import compose
    from diffmem.sweep.grid import plan_grid, run_all
    from diffmem.sweep.progress import Progress

    for name in ("runs", "step"):
        if getattr(arguments, name) is not None and not arguments.adaptive:
            raise InputError(f"--{name} is for an adaptive sweep: add --adaptive, or leave it out.")
    overrides = arguments.overrides
    if not any(word.startswith("experiment=") for word in overrides):
        overrides = ["experiment=quickstart", *overrides]
    plans = plan_grid(compose.compose_grid(overrides))
    if arguments.adaptive:
        results = _run_adaptively(plans, arguments)
    else:
        results = run_all(plans, Progress([planned.run for planned in plans]))
    code = 0
    for result in results:
        print(f"{result.run.path}: {result.sentence}")
        code = max(code, result.exit_code)
    if not any(result.worked for result in results) and code == 0:
        print("Nothing to do: every run of the sweep is over.")
    if code > 2:  # interrupted
        return code
    return max(code, report.write_report(pipeline.fit(plans[0].run.path.parent)))


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
