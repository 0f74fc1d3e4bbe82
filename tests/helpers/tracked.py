"""A tiny run at two ages for the tests of trackers, and a tracker that keeps what it is sent in memory."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from diffmem.trackers.base import Image, Point, Subject
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers.tiny import tiny

YOUNG = 6  # steps


def young_and_grown(folder: Path) -> tuple[Path, Path]:
    """Folders `young` and `grown` of `folder`, each with the same run, trained to step 6 and to its end."""
    young, grown = folder / "young", folder / "grown"
    assert execute(plan(tiny(young, train={"steps": YOUNG}))).exit_code == 0
    shutil.copytree(young, grown)
    assert execute(plan(tiny(grown))).exit_code == 0
    return young, grown


def only_run(folder: Path) -> Path:
    """The one run in a folder of runs."""
    (found,) = folder.glob("digits-*")
    return found


def expected(run: Path) -> dict[int, dict[str, float]]:
    """step -> name -> value of what a tracker must hold, straight from metrics.jsonl."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    points = {}
    for row in rows:
        values = {name.replace("@", "/"): value for name, value in row.items() if name != "step" and value is not None}
        points[row["step"]] = {**values, "step_per_n": row["step"] / 8}
    return points


class Memory:
    """A tracker whose back end is `store`, a list of (step, values, images) by key, and which fails while `down`."""

    store: dict[str, list[tuple[int, dict[str, float], dict[str, Image]]]]
    down = False

    def __init__(self, subject: Subject) -> None:
        self._check()
        self._held = self.store.setdefault(subject.key, [])

    def missing(self, points: Sequence[Point]) -> list[Point]:
        self._check()
        return [point for point in points if point.step not in [step for step, _, _ in self._held]]

    def send(self, point: Point) -> None:
        self._check()
        self._held.append((point.step, dict(point.values), dict(point.images())))

    def flush(self) -> None:
        self._check()

    def close(self, status: str) -> None:
        self._check()

    def _check(self) -> None:
        if self.down:
            raise ConnectionError("nobody answers")
