"""Runs of one shape trained together, in this process: by whoever closes the executor (`training/pack.py`).

Up to `executor.workers` runs are under way, in packs of one shape one after the other. A run that ends leaves its pack,
and the next of its shape takes the place; one that cannot be packed is trained by itself when its turn comes.
"""

import time
from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from diffmem.config.executor import PackExecutor
from diffmem.config.settings import Config
from diffmem.errors import InputError, InUse
from diffmem.executors.ended import LEFT, record_failure
from diffmem.executors.slots import LOOK_BEATS
from diffmem.training import pack
from diffmem.training.plan import Plan
from diffmem.training.session import Outcome, attended, execute
from diffmem.training.signals import Interrupted, Interrupts
from diffmem.training.step import Step


@dataclass(eq=False)
class _Run:
    """A run that was submitted. `moment`: not before that; `work` is its session, once it is under way."""

    planned: Plan
    future: "Future[Outcome]" = field(default_factory=Future)
    moment: float = 0.0
    before: dict[str, Any] = field(default_factory=dict)
    work: Generator[Step, None, Outcome] | None = None
    member: pack.Member | None = None

    @property
    def shape(self) -> object:
        """Of the pack that it belongs in; its own where it goes alone."""
        config = self.planned.config
        return self if pack.obstacle(config) else pack.shape(config)


class Packs:
    """The executor. See the module."""

    lanes = 1

    def __init__(self, workers: int) -> None:
        self.capacity = workers
        self._known: dict[Path, _Run] = {}
        self._queue: list[_Run] = []
        self._under_way: list[_Run] = []

    def submit(self, planned: Plan) -> "Future[Outcome]":
        known = self._known.get(planned.run.path)
        if known is not None and not known.future.done():
            return known.future
        config = planned.config if planned.config.threads else replace(planned.config, threads=1)
        run = self._known[planned.run.path] = _Run(replace(planned, config=config))
        self._queue.append(run)
        return run.future

    def close(self, *, cancel: bool = False) -> None:
        try:
            if not cancel:
                self._work_off()
        finally:
            for run in self._known.values():
                if not run.future.done():
                    run.future.set_result(LEFT)

    def _work_off(self) -> None:
        while self._queue:
            self._wait()
            first = next(run for run in self._queue if run.moment <= time.monotonic())
            if first.shape is first:
                self._queue.remove(first)
                self._see_through_alone(first)
            else:
                self._see_through(first.shape)

    def _wait(self) -> None:
        """Until a run in the queue may be begun."""
        time.sleep(max(0.0, min(run.moment for run in self._queue) - time.monotonic()))

    def _see_through_alone(self, run: _Run) -> None:
        run.before = run.planned.run.read_status()
        try:
            outcome = execute(run.planned)
        except Exception as error:
            self._failed(run, error)
            return
        run.future.set_result(outcome)
        if outcome.status == "interrupted":
            raise Interrupted  # who asked this process to leave meant the sweep

    def _see_through(self, shape: object) -> None:
        """Train the runs of one shape together until none of them is left that can be begun now."""
        with Interrupts() as interrupts:
            try:
                self._refill(shape, interrupts)
                while self._under_way:
                    together = pack.Pack([run.member for run in self._under_way if run.member is not None])
                    while self._step(together):
                        pass
                    if not interrupts.requested:
                        self._refill(shape, interrupts)
            except Interrupted:  # in the middle of a step: nobody has a state that could be saved
                for run in self._under_way[:]:
                    self._go_on(run, Interrupted())
            if interrupts.requested:
                raise Interrupted

    def _refill(self, shape: object, interrupts: Interrupts) -> None:
        """Begin runs of this shape while there are some and there is room."""
        for run in [run for run in self._queue if run.shape == shape]:
            if len(self._under_way) >= self.capacity or interrupts.requested:
                return
            if run.moment > time.monotonic():
                continue
            self._queue.remove(run)
            run.before = run.planned.run.read_status()
            run.work = attended(run.planned, interrupts)
            self._under_way.append(run)
            self._go_on(run)

    def _step(self, together: pack.Pack) -> bool:
        """One step of all that are under way; whether all of them go on."""
        together.step()
        on = [self._go_on(run) for run in self._under_way[:]]  # each has its turn
        return all(on)

    def _go_on(self, run: _Run, left: Interrupted | None = None) -> bool:
        """Give the run's session its turn, up to its next step; whether there is one. `left` is raised in it."""
        assert run.work is not None
        try:
            step = run.work.throw(left) if left is not None else next(run.work)
        except StopIteration as end:
            run.future.set_result(end.value)
        except Exception as error:
            self._failed(run, error)
        else:
            assert isinstance(step, pack.Member)
            run.member = step
            return True
        self._under_way.remove(run)
        return False

    def _failed(self, run: _Run, error: Exception) -> None:
        """The run's end, but where another process works on it: then its turn comes again."""
        if isinstance(error, InUse):
            run.moment = time.monotonic() + LOOK_BEATS * run.planned.config.heartbeat_seconds
            self._queue.append(run)
            return
        record_failure(run.planned.run, run.before, error)
        run.future.set_exception(error)


def start(config: Config) -> Packs:
    """Raises InputError where runs like this cannot be trained together."""
    options = config.executor
    assert isinstance(options, PackExecutor)
    kept = pack.obstacle(config)
    if kept:
        raise InputError(
            "executor=pack trains runs together in fp32, without dropout, attention or compilation, and these have "
            f"{kept}: use executor=pool."
        )
    return Packs(options.workers)
