"""A grid of settings -> runs -> executor: what is finished, what is running, what is missing.

All runs are checked before the first one starts. Longest first, so that the last worker is not left alone with the
longest run.
"""

from collections.abc import Iterable
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass

from diffmem.config.settings import Config
from diffmem.errors import InputError
from diffmem.executors.base import start
from diffmem.store import RunDir
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


def plan_grid(configs: Iterable[Config]) -> list[Plan]:
    """The runs of a grid, each once, longest first. Raises InputError before anything is written."""
    plans = {planned.run.path: planned for planned in map(plan, configs)}
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
    for planned in plans:
        if not planned.run.path.exists():
            planned.run.write_status({"status": "queued"})
    executor = start(plans[0].config)
    futures: list[Future[Outcome]] = []
    try:
        with show, Interrupts() as interrupts:
            futures += [executor.submit(planned.config) for planned in plans]
            interrupts.abandon = True
            wait(futures)
    except Interrupted:
        executor.close(cancel=True)
    except BaseException:
        executor.close(cancel=True)
        raise
    else:
        executor.close()
    return [_result(planned.run, future) for planned, future in zip(plans, futures, strict=True)]


def _result(run: RunDir, future: Future[Outcome]) -> RunResult:
    if future.cancelled():
        return RunResult(run, Outcome("interrupted", "it was not started"), None)
    error = future.exception()
    if error is not None:
        return RunResult(run, None, str(error) or type(error).__name__)
    return RunResult(run, future.result(), None)


def _cost(planned: Plan) -> tuple[float, int]:
    """Relative length of a run: the size of its steps times their number, then n, which f_mem takes long to pass."""
    config = planned.config
    return config.train.steps * config.batch * config.data.d * config.model.width**2, config.data.n
