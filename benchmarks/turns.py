"""Two ways to do one thing, timed in turns: what the rows of a benchmark share."""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from diffmem.training import machine


def busy() -> float:
    """Processes that wanted a core of this machine in the last minute; NaN where it does not say."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else float("nan")


@dataclass(frozen=True)
class Row:
    """Process seconds of each side, medians over `repeats` turns, their ratio, and peak memory in MB where measured.

    `load` is how busy the machine was when the row was done.
    """

    case: str
    ours: float
    theirs: float
    ratio: float
    repeats: int
    machine: str
    note: str = ""
    ours_mb: float | None = None
    theirs_mb: float | None = None
    load: float = field(default_factory=busy)

    def line(self) -> str:
        times = f"{1e3 * self.ours:>11.3f} {1e3 * self.theirs:>11.3f} {self.ratio:>7.2f} {self.repeats:>3}"
        return f"{self.case:<66} {times}  {self.note}"


@dataclass(frozen=True)
class Missing:
    """What could not be measured, why, and how it is where it can."""

    case: str
    why: str
    how: str

    def line(self) -> str:
        return f"{self.case:<66} not measured: {self.why}. {self.how}"


Found = Row | Missing
HEAD = f"{'case: ours, theirs':<66} {'ours, ms':>11} {'theirs, ms':>11} {'ratio':>7} {'of':>3}"


def medians(sides: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median process seconds of each side over `repeats` turns, after one of each that does not count."""
    taken: list[list[float]] = [[] for _ in sides]
    for turn in range(repeats + 1):
        for side, seconds in zip(sides, taken, strict=True):
            begin = time.process_time()
            side()
            if turn:
                seconds.append(time.process_time() - begin)
    return [statistics.median(seconds) for seconds in taken]


def timed(case: str, ours: Callable[[], object], theirs: Callable[[], object], repeats: int, note: str = "") -> Row:
    """One row: both sides in turns. Process time: a busy machine counts less."""
    here, there = medians([ours, theirs], repeats)
    return Row(case, here, there, there / here, repeats, where(), note)


def where(device: torch.device | None = None) -> str:
    """The processor, or the card."""
    kind = machine.describe(device or torch.device("cpu"))["device_name"]
    threads = f"{torch.get_num_threads()} of {os.cpu_count()} threads, torch {torch.__version__}"
    return f"{kind}, {threads}"


def options(description: str | None, repeats: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=repeats, help="turns of each side that count")
    parser.add_argument("--json", type=Path, help="also write the table here")
    return parser


def show(found: Iterable[Found], path: Path | None) -> None:
    """Print the table as it comes, and the machine; write it to `path` too."""
    print(f"Python {platform.python_version()}, {where()}\n{HEAD}")
    table: list[dict[str, Any]] = []
    for one in found:
        print(one.line(), flush=True)
        table.append(asdict(one))
    if path is not None:
        path.write_text(json.dumps(table, indent=1) + "\n")
