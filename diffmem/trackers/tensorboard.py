"""TensorBoard's event files, one folder a run. Needs no server: `tensorboard --logdir FOLDER` shows them.

What is there is read back by TensorBoard's own reader. Where it differs from the rows (a training went on elsewhere, to
rounding), a new file supersedes all from that step on, which is how TensorBoard is told of a restart.
"""

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffmem.config.tracker import TensorBoardTracker
from diffmem.files import check_folder
from diffmem.trackers.base import Point, Subject

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def check(options: TensorBoardTracker) -> None:
    """Raise InputError where the folder cannot be written."""
    if options.folder is not None:
        check_folder(Path(options.folder), "tracker.folder")


def start(options: TensorBoardTracker, subject: Subject) -> "TensorBoard":
    folder = Path(options.folder) if options.folder else subject.folder / "tensorboard"
    return TensorBoard(folder / subject.key, subject)


class TensorBoard:
    """One subject's folder of event files. A file is begun when there is something to write."""

    def __init__(self, folder: Path, subject: Subject) -> None:
        self._folder, self._settings = folder, subject.settings
        self._known = _read(folder)
        self._writer: SummaryWriter | None = None

    def missing(self, points: Sequence[Point]) -> list[Point]:
        wanted = {point.step: _stored(point) for point in points}
        stale = [step for step, values in self._known.items() if values != wanted.get(step)]
        if stale:
            self._open(purge_step=min(stale))
            self._known = {step: values for step, values in self._known.items() if step < min(stale)}
        return [point for point in points if point.step not in self._known]

    def send(self, point: Point) -> None:
        writer = self._writer or self._open()
        for name, image in point.images().items():
            writer.add_image(name, image, point.step, dataformats="HWC")
        for name, value in point.values.items():
            writer.add_scalar(name, value, point.step)
        self._known[point.step] = _stored(point)

    def flush(self) -> None:
        if self._writer is not None:
            self._writer.flush()

    def close(self, status: str) -> None:
        if self._writer is not None:
            self._writer.close()

    def _open(self, purge_step: int | None = None) -> "SummaryWriter":
        """Begin a file; with `purge_step`, one that supersedes what is there from that step on."""
        from torch.utils.tensorboard import SummaryWriter

        self.close("running")
        self._wait_for_a_later_name()
        self._writer = SummaryWriter(str(self._folder), purge_step=purge_step)
        if not self._known and self._settings:
            self._writer.add_text("settings", f"```json\n{json.dumps(self._settings, indent=1)}\n```")
        return self._writer

    def _wait_for_a_later_name(self) -> None:
        """Files are read in the order of their names, which begin with the second in which each was begun."""
        names = [path.name for path in self._folder.glob("events.out.tfevents.[0-9]*")]
        newest = max((int(name.split(".")[3]) for name in names), default=0)
        for _ in range(20):
            if newest < int(time.time()):
                return
            time.sleep(0.1)


def _stored(point: Point) -> dict[str, float]:
    """The values as TensorBoard keeps them."""
    return {name: float(np.float32(value)) for name, value in point.values.items()}


def _read(folder: Path) -> dict[int, dict[str, float]]:
    """step -> name -> value of what was sent before."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it reports each superseded file
    if not folder.is_dir():
        return {}
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 1})
    events.Reload()
    known: dict[int, dict[str, float]] = {}
    for name in events.Tags()["scalars"]:
        for event in events.Scalars(name):
            known.setdefault(event.step, {})[name] = event.value
    return known
