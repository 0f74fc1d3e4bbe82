"""A grid of settings -> runs -> executor: what is finished, what is running, what is missing.

All runs are checked before the first one starts. Longest first, so that the last worker is not left alone with the
longest run.
"""

import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import zip_longest

from diffmem.config.settings import Config
from diffmem.errors import InputError
from diffmem.executors.base import start
from diffmem.executors.ended import LEFT
from diffmem.store import RunDir
from diffmem.sweep.state import States, step_cost, waiting
from diffmem.training.plan import Plan, plan
from diffmem.training.session import Outcome
from diffmem.training.signals import Interrupted, Interrupts


@dataclass(frozen=True)
class RunResult:
    """What became of one run: its outcome, or the reason it failed."""

    run: RunDir
    outcome: Outcome | None
    failure: str | None

    @property
    def sentence(self) -> str:
        if self.outcome is None:
            return f"failed, {self.failure}"
        return f"{self.outcome.status}, {self.outcome.why}"

    @property
    def worked(self) -> bool:
        return self.outcome is None or self.outcome.worked

    @property
    def exit_code(self) -> int:
        return 1 if self.outcome is None else self.outcome.exit_code


def plan_grid(configs: Iterable[Config], of: Callable[[Config], Plan] = plan) -> list[Plan]:
    """The runs of a grid, each once, longest first, planned by `of`. Raises InputError before anything is written."""
    plans = {planned.run.path: planned for planned in map(of, configs)}
    if not plans:
        raise InputError("the grid is empty: give each axis at least one value, such as data.n=16,32.")
    folders = {planned.run.path.parent for planned in plans.values()}
    if len(folders) > 1:
        raise InputError("out and experiment name several folders in one grid: a sweep's runs share one folder.")
    return sorted(plans.values(), key=_cost, reverse=True)


def run_all(plans: list[Plan], show: AbstractContextManager[object]) -> list[RunResult]:
    """Run all of them through the executor they name, inside `show` (a progress display, say).

    An interrupt stops the executor, and every run with it at a resume point.
    """
    executor = start(plans[0].config)
    futures: list[Future[Outcome]] = []
    try:
        for planned, state in zip(plans, States(planned.run for planned in plans).read(), strict=True):
            over = state.group == "done" and state.steps == planned.config.train.steps
            if not (over or state.word == "running"):
                with contextlib.suppress(OSError, InputError):  # which the worker meets too, and reports
                    planned.run.write_status(waiting(planned.config, state))
        with show, Interrupts() as interrupts:
            for planned in plans:
                futures.append(executor.submit(planned))
            interrupts.abandon = True
            executor.close()
    except Interrupted:
        executor.close(cancel=True)
    except BaseException:
        executor.close(cancel=True)
        raise
    return [_result(planned.run, future) for planned, future in zip_longest(plans, futures)]


def _result(run: RunDir, future: Future[Outcome] | None) -> RunResult:
    if future is None:
        return RunResult(run, LEFT, None)
    error = future.exception()
    if error is not None:
        return RunResult(run, None, str(error) or type(error).__name__)
    return RunResult(run, future.result(), None)


def _cost(planned: Plan) -> tuple[float, int]:
    """Relative length of a run: the size of its steps times their number, then n, which f_mem takes long to pass."""
    config = planned.config
    return config.train.steps * step_cost(config), config.data.n
