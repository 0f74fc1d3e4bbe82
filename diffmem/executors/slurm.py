"""The tasks of a Slurm job array, each of which takes one open run after another: a short array serves a long grid.

The runs lie open in `<out>/slurm` (`open_runs.py`); a task (`taker.py`) works on them whether or not there is a sweep.
The sweep asks Slurm now and then which of its tasks there are, submits as many as there are too few, and reads what
became of the runs. When its time is nearly up (USR1) a task leaves its run at a resume point and is queued again.
"""

import contextlib
import itertools
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from signal import SIGUSR1
from typing import Any

from diffmem import lease
from diffmem.config.executor import SlurmExecutor
from diffmem.config.settings import Config
from diffmem.errors import InputError, InUse
from diffmem.executors.ended import LEFT, RunFailed, outcome_in
from diffmem.executors.open_runs import Entry, OpenRuns
from diffmem.executors.slurm_jobs import ENDED, TIME_IS_UP, Jobs, own_task
from diffmem.executors.taker import work_off
from diffmem.training.left import left
from diffmem.training.plan import Plan
from diffmem.training.session import Outcome
from diffmem.tree import Tree

GATHER_SECONDS = 1.0  # runs that are submitted within it of each other go into one array
GRACE_SECONDS = 90.0  # for tasks that were cancelled to be gone: Slurm kills them after its KillWait, 30 s by default
FRUITLESS = 3  # arrays in a row whose tasks end before they take a run: more would not help
CANCELLED = Outcome("interrupted", "its jobs were cancelled in Slurm: the same command goes on")


def start(config: Config) -> "Array":
    """Raises InputError where Slurm is not to be had, refuses such jobs, or has nodes that do not see the folder."""
    options, out = _options(config), Path(config.out_folder)
    jobs = Jobs(out / "slurm", options)
    jobs.check(out)
    return Array(jobs, OpenRuns(out / "slurm"), options)


def width(config: Config) -> tuple[int, int]:
    return (_options(config).workers,) * 2


def task(folder: Path) -> None:
    """The body of a task."""
    if work_off(folder, own_task()) == SIGUSR1:
        sys.exit(TIME_IS_UP)


@dataclass(frozen=True)
class _Wanted:
    planned: Plan
    future: Future[Outcome]
    before: Mapping[str, Any]  # the run's status when it was asked for


class Array:
    """The executor. One thread of it asks and submits."""

    def __init__(self, jobs: Jobs, runs: OpenRuns, options: SlurmExecutor) -> None:
        self.capacity = self.lanes = options.workers
        self._jobs, self._runs, self._options = jobs, runs, options
        self._wanted: dict[str, _Wanted] = {}  # by the name of the run's file: those that are not over
        self._futures: dict[Path, Future[Outcome]] = {}
        self._changed = threading.Condition()
        self._look_at = 0.0
        self._closing = self._leaving = False
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._alive: set[str] = set()  # tasks, at the last look
        self._newest = ""  # array
        self._fruitless = 0  # arrays in a row
        self._takers: set[str] = set()  # arrays that have taken a run

    def submit(self, planned: Plan) -> Future[Outcome]:
        known = self._futures.get(planned.run.path)
        if known is not None and not known.done():
            return known
        if not planned.config.threads:  # as many as the task has cores, whatever else the node has
            planned = replace(planned, config=replace(planned.config, threads=self._options.cpus))
        future = self._futures[planned.run.path] = Future()
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, daemon=True)
                self._forget_others()
                self._thread.start()
            name = self._runs.name(len(self._futures), planned)
            wanted = _Wanted(planned, future, planned.run.read_status())
            self._runs.put(name, planned, self._options.retries)
            self._wanted[name] = wanted
            self._look_at = time.monotonic() + GATHER_SECONDS
            self._changed.notify_all()
        return future

    def close(self, *, cancel: bool = False) -> None:
        with self._changed:
            self._closing, self._leaving, self._look_at = True, self._leaving or cancel, 0.0
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            if cancel:
                self._leave()
        for future in self._futures.values():
            if not future.done():
                future.set_result(LEFT)
        if self._error is not None and not cancel:
            raise self._error

    def _watch(self) -> None:
        try:
            while self._is_time():
                self._read_ends()
                if self._wanted:
                    self._look()
            if not self._runs.open():
                self._jobs.cancel(waiting_only=True)
        except Exception as error:
            self._error = error

    def _is_time(self) -> bool:
        """Wait for the next look; False where there is nothing left to look for."""
        with self._changed:
            while not self._leaving and (self._wanted or not self._closing):
                wait = self._look_at - time.monotonic()
                if wait <= 0:
                    self._look_at = time.monotonic() + self._options.look_seconds
                    return True
                self._changed.wait(wait)
        return False

    def _read_ends(self) -> None:
        """Settle what is over, and open again what another sweep has forgotten or asked for otherwise."""
        over = self._runs.over()
        kept = {*over, *self._runs.open()}
        for name, wanted in list(self._wanted.items()):
            if name not in kept and (outcome := _read_by_another(wanted)):
                wanted.future.set_result(outcome)
                self._forget(name)
                continue
            if name in over or name not in kept:
                self._runs.put(name, wanted.planned, self._options.retries)
            entry = self._runs.read(name, "over") if name in over else None
            if entry is not None:
                self._settle(name, entry, wanted.future)

    def _settle(self, name: str, entry: Entry, future: Future[Outcome]) -> None:
        self._takers.add(_array(entry.worker))
        try:
            outcome = self._runs.end(name, entry)
            if outcome is None:  # another process has begun it again
                self._runs.reopen(name, entry)
                return
            future.set_result(outcome)
        except RuntimeError as error:
            future.set_exception(error)
        self._forget(name)

    def _look(self) -> None:
        """Submit as many tasks as there are too few."""
        try:
            states = self._jobs.states()
        except InputError:  # Slurm is asked again later, and the tasks go on
            return
        alive = _alive(states)
        gone, self._alive = self._alive - alive, alive
        entries = {name: self._runs.read(name) for name in list(self._wanted)}
        workers = {name: entry.worker for name, entry in entries.items() if entry is not None}
        self._takers.update(map(_array, workers.values()))
        waiting = [name for name, worker in workers.items() if worker not in alive]
        room, idle = self.capacity - len(alive), len(alive) - (len(workers) - len(waiting))
        free = itertools.islice(filter(self._is_free, waiting), max(room + idle, 0))
        missing = sum(1 for _ in free) - idle
        if room <= 0 or missing <= 0:
            return
        if gone and not alive and all(states.get(number) == "CANCELLED" for number in gone):
            self._give_back()
        else:
            self._submit(missing)

    def _is_free(self, name: str) -> bool:
        """Whether nobody works on the run. Its lock, which tasks want, is tried only where its owner did not leave."""
        run = self._runs.run(name)
        try:
            if (last := run.read_lease()) is None or last.released:
                return True
            with run.lock():
                return True
        except InUse:
            return False
        except InputError:  # who works on it finds the same, and says so
            return True

    def _submit(self, count: int) -> None:
        """An array, unless another sweep of the folder submits one at this moment."""
        folder = self._runs.folder
        try:
            with lease.held(Tree(folder), folder / "lease", 1.0, alone=False):
                if _alive(self._jobs.states()) == self._alive:
                    self._check_fruit()
                    self._newest = self._jobs.submit(count, partial(task, folder))
        except InUse:
            return
        except InputError:
            if not self._alive:
                raise

    def _check_fruit(self) -> None:
        """Raise InputError where the last arrays have ended before one of their tasks took a run."""
        in_vain = self._newest and self._newest not in {*self._takers, *map(_array, self._alive)}
        self._fruitless = self._fruitless + 1 if in_vain else 0
        if self._fruitless == FRUITLESS:
            raise InputError(
                f"executor=slurm: the tasks of {FRUITLESS} arrays ended before they took a run; the last ones said: "
                f"{self._jobs.last_words(self._newest) or 'nothing'}"
            )

    def _give_back(self) -> None:
        """All tasks were cancelled by somebody: the sweep is not to go on."""
        for name, wanted in list(self._wanted.items()):
            wanted.future.set_result(CANCELLED)
            self._forget(name)

    def _leave(self) -> None:
        self._jobs.cancel()
        last = time.monotonic() + GRACE_SECONDS
        with contextlib.suppress(InputError):
            while _alive(self._jobs.states()) and time.monotonic() < last:
                time.sleep(0.5)
        self._read_ends()
        for name in list(self._wanted):
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._runs.remove(name)
        with self._changed:
            del self._wanted[name]

    def _forget_others(self) -> None:
        """What an earlier sweep has left open goes on only with the tasks that it left in the queue."""
        if not _alive(self._jobs.states()):
            for name in self._runs.open():
                self._runs.remove(name)


def _options(config: Config) -> SlurmExecutor:
    options = config.executor
    assert isinstance(options, SlurmExecutor)
    return options


def _read_by_another(wanted: _Wanted) -> Outcome | None:
    """How the run was seen through, where another sweep of the folder has read that first and forgotten the run."""
    with contextlib.suppress(InputError, RunFailed):
        if left(wanted.planned).state == "over":
            outcome = outcome_in(wanted.planned.run, wanted.before)
            return outcome if outcome is not None and outcome.exit_code == 0 else None
    return None


def _alive(states: Mapping[str, str]) -> set[str]:
    return {number for number, state in states.items() if state not in ENDED}


def _array(number: str) -> str:
    """The array of a task."""
    return number.partition("_")[0]
