"""A live line per run, read from the status files: step, steps/s, time left, loss, f_mem.

It watches run directories, not workers, so it shows runs of any executor. On a terminal the lines are redrawn in
place; elsewhere a plain line is printed when a run changes state and every quarter of a minute.
"""

import threading
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from diffmem.store import RunDir

REFRESH_SECONDS = 0.5
PLAIN_SECONDS = 15.0


class Progress:
    """`with Progress(runs):` shows their state until the block ends."""

    def __init__(self, runs: list[RunDir], console: Console | None = None) -> None:
        self._runs = runs
        self._console = console or Console(stderr=True)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)
        self._shown: dict[str, tuple[str, float]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        if self._console.is_terminal:
            with Live(self._table(), console=self._console, refresh_per_second=4) as live:
                while not self._end.wait(REFRESH_SECONDS):
                    live.update(self._table())
                live.update(self._table())
        else:
            while not self._end.wait(REFRESH_SECONDS):
                self._print_news()
            self._print_news()

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for run in self._runs:
            table.add_row(run.name, *_cells(run.read_status()))
        return table

    def _print_news(self) -> None:
        now = time.monotonic()
        for run in self._runs:
            status = run.read_status()
            state, shown_at = self._shown.get(run.name, ("queued", now))
            current = status.get("status", "queued")
            if current != state or (current == "running" and now - shown_at > PLAIN_SECONDS):
                self._shown[run.name] = (current, now)
                self._console.print(run.name, *_cells(status), sep="  ", highlight=False, soft_wrap=True)
            else:
                self._shown.setdefault(run.name, (state, now))


def _cells(status: dict[str, Any]) -> list[str]:
    """State, step, speed, time left, loss and f_mem as words; empty where unknown."""
    state = status.get("status", "queued")
    if state == "running":
        state = status.get("phase", state)
    step, steps, speed = status.get("step"), status.get("steps"), status.get("steps_per_second")
    cells = [state, "" if step is None else f"step {step}" + (f"/{steps}" if steps else "")]
    cells.append(f"{speed:.1f} steps/s" if speed else "")
    cells.append(f"{_clock((steps - step) / speed)} left" if speed and steps else "")
    loss, f_mem = status.get("loss"), status.get("f_mem")
    cells.append("" if loss is None else f"loss {loss:.4f}")
    cells.append("" if f_mem is None else f"f_mem {f_mem:.3f}")
    if status.get("why"):
        cells.append(status["why"])
    return cells


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
