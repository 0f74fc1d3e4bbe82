"""How runs go on, shown while they do: one line for all of them above a line for each, read from their directories.

It watches directories, not workers, so it shows runs of any executor, and of other machines. A terminal is redrawn in
place and shows what there is room for. Elsewhere a line is printed when a run begins or ends; in between, ever more
seldom, one that says how far they all are.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import compress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from diffmem.store import RunDir
from diffmem.sweep.state import GROUPS, RunState, States, clock, seconds_left, summarize

REFRESH_SECONDS = 0.5  # and as much again for every hundred runs
PLAIN_SECONDS = 15.0  # between lines on all runs that are no terminal's, or a twentieth of the time since the begin
HEAD = ("run", "state", "host", "device", "step", "steps/s", "left", "f_mem", "retries", "why")
URGENT = ("running", "failed", "waiting", "done")  # which runs are shown where there is no room for all


class Progress:
    """`with Progress(runs):` shows their state until the block ends. Runs are numbered as they are given."""

    def __init__(self, runs: list[RunDir], console: Console | None = None) -> None:
        self._states, self._count = States(runs), len(runs)
        self._console = console or Console(stderr=True)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)
        self._shown: dict[str, str] = {}  # run -> the word that was last said of it
        self._said = ""
        self._begin = self._said_at = time.monotonic()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        seconds = REFRESH_SECONDS * (1 + self._count / 100)
        if self._console.is_terminal:
            follow(self._states, self._console, lambda: self._end.wait(seconds))
            return
        self._shown = {state.name: state.word for state in self._states.read()}
        while not self._end.wait(seconds):
            self._print_news()
        self._print_news(last=True)

    def _print_news(self, *, last: bool = False) -> None:
        states = self._states.read()
        for number, state in enumerate(states, start=1):
            if self._is_news(state):
                self._shown[state.name] = state.word
                self._print(f"{_number(number, self._count)}{state.name}  {_words(state)}")
        now = time.monotonic()
        line = overall(states) if self._count > 1 else f"{states[0].name}  {_words(states[0])}"
        due = now - self._said_at > max(PLAIN_SECONDS, (now - self._begin) / 20)
        if (due or (last and self._said)) and line != self._said:
            self._said, self._said_at = line, now
            self._print(line)

    def _is_news(self, state: RunState) -> bool:
        """Whether a run has begun or ended. One that was over and is looked at again is none."""
        if state.word == "running":
            return state.phase == "training" and self._shown[state.name] != "running"
        return state.word != self._shown[state.name] and state.word != "waiting"

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def follow(states: States, console: Console, over: Callable[[], bool]) -> None:
    """Redraw all lines on a terminal until `over()`, which waits in between, is true."""
    with Live(_screen(states.read(), console), console=console, auto_refresh=False) as live:
        while not over():
            live.update(_screen(states.read(), console), refresh=True)
        live.update(_screen(states.read(), console), refresh=True)


def _screen(states: Sequence[RunState], console: Console) -> Text:
    room = max(console.height - 3, 1)
    numbered = list(enumerate(states, start=1))
    urgent = sorted(numbered, key=lambda entry: URGENT.index(entry[1].group))
    shown, rest = urgent[:room], urgent[room:]
    if not rest:
        shown = numbered
    lines = _columns([[_number(number, len(states)).strip(), state.name, *_cells(state)] for number, state in shown])
    if len(states) > 1:
        lines.insert(0, overall(states))
    if rest:
        counts = Counter(state.group for _, state in rest)
        lines.append(f"and {len(rest)} more: {_counted(counts)}")
    return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")


def overall(states: Sequence[RunState]) -> str:
    """One line for all runs: how many there are, in each group, and the time that is left."""
    summary = summarize(states)
    line = f"{summary.total} runs: {_counted(summary.counts)}"
    if summary.seconds_left is None:
        return line
    return f"{line}; {'at most' if summary.at_most else 'about'} {clock(summary.seconds_left)} left"


def table(states: Sequence[RunState]) -> list[str]:
    """The lines of a table of all runs, under its head."""
    rows = [
        (
            state.name,
            state.phase or state.word,
            state.host,
            state.device,
            _step(state),
            f"{state.steps_per_second:.1f}" if state.steps_per_second else "",
            _left(state),
            "" if state.f_mem is None else f"{state.f_mem:.3f}",
            str(state.retries or ""),
            state.why,
        )
        for state in states
    ]
    filled = [any(column) for column in zip(*rows, strict=True)]
    return _columns([list(compress(cells, filled)) for cells in (HEAD, *rows)])


def _counted(counts: "dict[str, int] | Counter[str]") -> str:
    return ", ".join(f"{counts[group]} {group}" for group in GROUPS if counts[group]) or "none"


def _number(number: int, count: int) -> str:
    return f"run {number} of {count}  " if count > 1 else ""


def _words(state: RunState) -> str:
    return "  ".join(cell for cell in _cells(state) if cell)


def _cells(state: RunState) -> list[str]:
    """State, step, speed, time left, loss and f_mem as words; empty where unknown."""
    left = _left(state)
    return [
        state.phase or state.word,
        f"step {step}" if (step := _step(state)) else "",
        f"{state.steps_per_second:.1f} steps/s" if state.steps_per_second else "",
        f"{left} left" if left else "",
        "" if state.loss is None else f"loss {state.loss:.4f}",
        "" if state.f_mem is None else f"f_mem {state.f_mem:.3f}",
        state.why,
    ]


def _step(state: RunState) -> str:
    if state.step is None:
        return ""
    return f"{state.step}/{state.steps}" if state.steps else str(state.step)


def _left(state: RunState) -> str:
    """The time that is left of a run at work, a bound where it may stop early."""
    seconds = seconds_left(state) if state.word == "running" else None
    return "" if seconds is None else f"{'<' if state.may_stop else ''}{clock(seconds)}"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines whose cells stand under each other; a column that is empty takes no room."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True) if width).rstrip()
        for cells in rows
    ]
