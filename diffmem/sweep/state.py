"""Where the runs of a folder stand, from their directories alone: while others write them, on whatever machine.

Time left is training and evaluation: steps at the speed they have now, checkpoints at what they have cost. A run that
has no speed yet takes that of the others, by the size of its steps.
"""

import contextlib
import os
import socket
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffmem import lease
from diffmem.config.settings import Config
from diffmem.errors import InputError
from diffmem.store import RunDir

Timings = Sequence[tuple[int, float, float]]  # step, seconds of training on the way to it, of its evaluation
SLACK_SECONDS = 60.0  # by which clocks may differ before a run of another machine is called lost
DONE, FAILED = ("complete", "stopped"), ("failed", "diverged")
GROUPS = ("done", "running", "waiting", "failed")


@dataclass(frozen=True)
class RunState:
    """Where one run stands. Numbers are None where nothing says them yet.

    `word` is waiting, running, lost (its process died or gives no sign), interrupted, complete, stopped, diverged,
    failed, or unknown. `retries` counts owners of the run that died. `step_cost` is the size of a step, in no unit.
    """

    name: str
    word: str
    phase: str | None = None
    why: str = ""
    host: str = ""
    device: str = ""
    step: int | None = None
    steps: int | None = None
    steps_per_second: float | None = None
    loss: float | None = None
    f_mem: float | None = None
    retries: int = 0
    worked: bool = True
    step_cost: float | None = None
    checkpoints_left: int = 0
    seconds_per_step: float | None = None
    seconds_per_checkpoint: float | None = None
    may_stop: bool = False  # before its last step, by `stop.f_mem`

    @property
    def group(self) -> str:
        """One of GROUPS."""
        if self.word in DONE:
            return "done"
        if self.word in FAILED:
            return "failed"
        return "running" if self.word == "running" else "waiting"


@dataclass(frozen=True)
class Summary:
    """All runs of a folder: how many are in each group, and the seconds that are left, at most where runs may stop."""

    total: int
    counts: dict[str, int]
    seconds_left: float | None
    at_most: bool


class States:
    """Reads the states of `runs`, again and again; what has ended is read once."""

    def __init__(self, runs: Iterable[RunDir]) -> None:
        self._runs = list(runs)
        self._ended: dict[Path, tuple[int, RunState]] = {}
        self._configs: dict[Path, Config] = {}

    def read(self) -> list[RunState]:
        return [self._state(run) for run in self._runs]

    def _state(self, run: RunDir) -> RunState:
        stamp = _stamp(run.status_path)
        known = self._ended.get(run.path)
        if known is not None and known[0] == stamp:
            return known[1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is torn or half written is whole at the next look
            state = _read(run, self._config(run))
        if state.group in ("done", "failed"):
            self._ended[run.path] = (stamp, state)
        return state

    def _config(self, run: RunDir) -> Config | None:
        if run.path not in self._configs:
            with contextlib.suppress(InputError, OSError):
                self._configs[run.path] = Config.from_stored(run.read_config())
        return self._configs.get(run.path)


def find(folder: Path) -> list[RunDir]:
    """The runs in `folder`, or `folder` itself if it is one, those included that have not begun. By name.

    Raises InputError where there is no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no directory: name a folder of runs, such as runs/quickstart.")
    runs = [run for run in (RunDir(folder), *map(RunDir, sorted(folder.iterdir()))) if _is_run(run)]
    if not runs:
        raise InputError(f"{folder} holds no runs: name the folder that they are in, such as runs/quickstart.")
    return runs[:1] if runs[0].path == folder else runs


def waiting(config: Config, before: RunState) -> dict[str, Any]:
    """The status of a run that is queued: what is left to do, and what was known of it."""
    steps = config.train.steps
    known = {"step": before.step, "f_mem": before.f_mem}
    return {"status": "queued", **known, "steps": steps, **_left(config, before.step)}


def step_cost(config: Config) -> float:
    """The size of a training step: images x values x width^2, in no unit."""
    return float(config.batch * config.data.d * config.model.width**2)


def summarize(states: Sequence[RunState]) -> Summary:
    """The sum. Runs share the time among as many as are running now."""
    counts = Counter(state.group for state in states)
    per_cost = _median(
        state.seconds_per_step / state.step_cost for state in states if state.seconds_per_step and state.step_cost
    )
    per_checkpoint = _median(
        state.seconds_per_checkpoint for state in states if state.seconds_per_checkpoint is not None
    )
    unfinished = [state for state in states if state.group in ("running", "waiting")]
    left = [seconds_left(state, per_cost, per_checkpoint) for state in unfinished]
    known = [seconds for seconds in left if seconds is not None]
    running = counts["running"]
    seconds = max(max(known), sum(known) / running) if known and running and len(known) == len(left) else None
    return Summary(
        total=len(states),
        counts={group: counts[group] for group in GROUPS},
        seconds_left=seconds,
        at_most=any(state.may_stop for state in unfinished),
    )


def seconds_left(state: RunState, per_cost: float | None = None, per_checkpoint: float | None = None) -> float | None:
    """Seconds until the run's last step, its evaluations included, where speeds are known: its own, else these."""
    per_step = state.seconds_per_step
    if per_step is None and per_cost is not None and state.step_cost is not None:
        per_step = per_cost * state.step_cost
    if per_step is None or state.steps is None:
        return None
    evaluation = state.seconds_per_checkpoint or per_checkpoint or 0.0
    return max(state.steps - (state.step or 0), 0) * per_step + state.checkpoints_left * evaluation


def _read(run: RunDir, config: Config | None) -> RunState:
    status = run.read_status()
    word = {"queued": "waiting"}.get(status.get("status", "unknown"), status.get("status", "unknown"))
    entry = run.read_lease() if run.path.is_dir() else None
    why = status.get("why") or ""
    if word == "running" and (lost := _lost(status, entry)):
        word, why = "lost", lost
    speed = status.get("steps_per_second") if word == "running" else None
    timings = [] if config is None else run.timings()
    steps = status.get("steps") or (config.train.steps if config else None)
    left = _left(config, status.get("step")) if config and word != "waiting" else status
    return RunState(
        name=run.name,
        word=word,
        phase=status.get("phase") if word == "running" else None,
        why=why,
        host=status.get("host") or "",
        device=status.get("device") or "",
        step=status.get("step"),
        steps=steps,
        steps_per_second=speed,
        loss=status.get("loss"),
        f_mem=_f_mem(run, status),
        retries=entry.deaths if entry else 0,
        worked=status.get("worked") is not False,
        step_cost=left.get("step_cost"),
        checkpoints_left=int(left.get("checkpoints_left") or 0),
        seconds_per_step=1 / speed if speed else _mean_step(timings),
        seconds_per_checkpoint=_mean_checkpoint(timings),
        may_stop=config is not None and config.stop.f_mem is not None,
    )


def _left(config: Config, step: int | None) -> dict[str, Any]:
    done = -1 if step is None else step
    return {
        "step_cost": step_cost(config),
        "checkpoints_left": sum(checkpoint > done for checkpoint in config.checkpoint_steps()),
    }


def _lost(status: dict[str, Any], entry: lease.Entry | None) -> str:
    """Why a run that says it is running is not; nothing where it is."""
    here = entry is not None and entry.boot == lease.boot() and entry.host == socket.gethostname()
    if here and entry is not None and not _alive(entry.process):
        return "its process died"
    silent = time.time() - status.get("heartbeat", 0.0)
    seconds = lease.LEAST_SECONDS if entry is None else entry.seconds
    return f"no sign of life for {clock(silent)}" if silent > seconds + SLACK_SECONDS else ""


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _f_mem(run: RunDir, status: dict[str, Any]) -> float | None:
    """That of the newest row: as the status has it, else from the rows."""
    if status.get("f_mem") is not None:
        return float(status["f_mem"])
    with contextlib.suppress(InputError, OSError):
        rows = run.primary.read_rows()
        return rows[-1].get("f_mem") if rows else None
    return None


def _mean_step(timings: Timings) -> float | None:
    steps = max((step for step, _, _ in timings), default=0)
    return sum(train for _, train, _ in timings) / steps if steps else None


def _mean_checkpoint(timings: Timings) -> float | None:
    """The first checkpoint also makes what all need, so it speaks for itself alone."""
    later = [evaluate for _, _, evaluate in timings[1:]]
    return statistics.fmean(later) if later else None


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return statistics.median(found) if found else None


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _is_run(run: RunDir) -> bool:
    return run.config_path.is_file() or run.status_path.is_file()


def clock(seconds: float) -> str:
    """Hours, minutes and seconds as 1:02:03, and days where there are some."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    head = f"{days} d {hours}" if days else str(hours) if hours else ""
    return f"{head}:{minutes:02d}:{seconds:02d}" if head else f"{minutes}:{seconds:02d}"
