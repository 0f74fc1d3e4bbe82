"""A worker that takes the next open run of a sweep, and the next, until none is open and free (`open_runs.py`)."""

import contextlib
import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

from diffmem.config.settings import Config
from diffmem.errors import InUse
from diffmem.executors.ended import Deaths, RunFailed, WorkerDied, record_failure
from diffmem.executors.open_runs import Entry, OpenRuns
from diffmem.store import RunDir
from diffmem.training.plan import plan
from diffmem.training.session import execute
from diffmem.training.signals import Interrupted, Interrupts


def work_off(folder: Path, worker: str) -> int | None:
    """The body of a worker of this name. Returns the signal that asked it to leave, None where there was none."""
    with Interrupts() as interrupts:
        interrupts.abandon = True  # between runs; within one it is heard first, and leaves at a resume point
        taker = _Taker(OpenRuns(folder), worker, interrupts)
        with contextlib.suppress(Interrupted):
            while not interrupts.requested and any(map(taker.see_through, taker.runs.open())):
                taker.fresh = False
    return interrupts.number


@dataclass
class _Taker:
    runs: OpenRuns
    worker: str
    interrupts: Interrupts
    fresh: bool = True  # it has worked on no run yet

    def see_through(self, name: str) -> bool:
        """Work on the run as far as it goes; False where it is over, or another process works on it."""
        run, entry = self.runs.run(name), self.runs.read(name)
        if entry is None:
            return False
        try:
            claimed = self._claim(name, run)
            if claimed is None:
                return False
            entry = claimed
            os.chdir(entry.cwd)
            outcome = execute(plan(Config.from_mapping(entry.settings)))
            if outcome.status != "interrupted":
                self.runs.close(name, entry)
            elif self.fresh and self.interrupts.number == signal.SIGUSR1:
                self._count_a_turn(name, run)
        except InUse:
            return False
        except Exception as error:
            record_failure(run, entry.before, error)
            why = str(error) or type(error).__name__
            self.runs.close(name, replace(entry, failure=why, died=isinstance(error, WorkerDied)))
        return True

    def _claim(self, name: str, run: RunDir) -> Entry | None:
        """Say who comes to the run, and count the owners it has lost; None where it is over.

        By the run's lease each counts once, whoever finds it. Raises InUse, and WorkerDied for one too many.
        """
        with run.lock() as lease:
            entry = self.runs.read(name)
            if entry is None or self._is_over(name, entry):
                return None
            deaths = Deaths(run, entry.retries, entry.step, entry.deaths)
            for _ in range(entry.owners_lost, lease.entry.deaths):
                deaths.another()
            lost = max(entry.owners_lost, lease.entry.deaths)
            entry = replace(entry, worker=self.worker, owners_lost=lost, step=deaths.step, deaths=deaths.count)
            self.runs.keep(name, entry)
        return entry

    def _is_over(self, name: str, entry: Entry) -> bool:
        """Whether the run ended, and its worker before it could say so here, which is done now."""
        try:
            outcome = self.runs.end(name, entry)
        except RunFailed:
            over = True
        else:
            over = outcome is not None and outcome.status != "interrupted"
        if over:
            self.runs.close(name, entry)
        return over

    def _count_a_turn(self, name: str, run: RunDir) -> None:
        """A whole turn on a node was not enough for a newer resume point: as bad as a death."""
        with run.lock():
            entry = self.runs.read(name)
            if entry is not None:
                deaths = Deaths(run, entry.retries, entry.step, entry.deaths)
                deaths.another("its time on a node was up", "executor.time is too short?")
                self.runs.keep(name, replace(entry, step=deaths.step, deaths=deaths.count))
