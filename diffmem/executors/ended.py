"""How a run ended, read from its directory, and how often its workers may die."""

import contextlib
import time
from collections.abc import Mapping
from typing import Any

from diffmem.errors import InputError, InUse
from diffmem.store import RunDir
from diffmem.training.session import Outcome

LEFT = Outcome("interrupted", "it was left before its end: the same command goes on")


class RunFailed(RuntimeError):
    """The run's directory says that it failed; the message says why."""


class WorkerDied(RuntimeError):
    """Workers of the run ended without an outcome, more often than it may be started again."""


def outcome_in(run: RunDir, before: Mapping[str, Any]) -> Outcome | None:
    """How the work on `run` ended since its status was `before`; None where it goes on or its worker died.

    Raises RunFailed where it failed.
    """
    status = run.read_status()
    word, why = status.get("status"), status.get("why") or ""
    if status.get("ended") is None or status == before:
        return None
    if word == "failed":
        raise RunFailed(why)
    if word in ("complete", "stopped", "diverged", "interrupted"):
        return Outcome(word, why, worked=status.get("worked") is not False)
    return None


def record_failure(run: RunDir, before: Mapping[str, Any], error: Exception) -> None:
    """Say in the run's directory that it failed, where its workers have not said so since its status was `before`."""
    with contextlib.ExitStack() as held, contextlib.suppress(OSError, InputError):
        try:
            held.enter_context(run.lock())
        except InUse:
            return
        except InputError:  # of what stands in its folder, which keeps everybody from working on it
            pass
        status = run.read_status()
        if status == before or status.get("status") != "failed":
            why = str(error) or type(error).__name__
            run.write_status({**status, "status": "failed", "why": why, "worked": True, "ended": time.time()})


class Deaths:
    """Counts the deaths of a run's workers since its newest resume point: `count` of them, the last at `step`."""

    def __init__(self, run: RunDir, retries: int, step: int | None = None, count: int = 0) -> None:
        self._run, self._retries = run, retries
        self.step, self.count = run.resume_step() if step is None else step, count

    def another(self, event: str = "its worker died", guess: str = "out of memory?") -> None:
        """A worker died. Raises WorkerDied where that was the last one."""
        step = self._run.resume_step()
        self.count = 0 if step > self.step else self.count + 1
        self.step = step
        if self.count > self._retries:
            times = "once" if self.count == 1 else f"{self.count} times"
            point = f"resume point {step}" if step >= 0 else "a first resume point"
            raise WorkerDied(f"{event} {times} without coming past {point} ({guess})")
