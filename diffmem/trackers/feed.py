"""Sends to a tracker what runs have written and it does not have yet, once or again and again.

What goes wrong in a tracker costs its points alone, until it answers again: the runs are read and never touched.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten

from diffmem.config.tracker import Tracker as Options
from diffmem.errors import InputError
from diffmem.pictures import Pictures
from diffmem.store import RunDir, find_runs
from diffmem.trackers.base import Point, Subject, Tracker, start, words
from diffmem.trackers.reading import folder_points, folder_subject, run_points, run_subject

POLL_SECONDS = 3.0
PATIENCE_SECONDS = (30.0, 600.0)  # until a tracker that failed is tried again, at first and at most
SENTENCE = 200  # characters of what a back end says
ALIVE_SECONDS = 60.0  # since the last sign of life of a run under way


@dataclass
class Feed:
    """The runs in `place` (one, or a folder of them), for one tracker. `say` gets a sentence where one is due."""

    place: Path
    options: Options
    say: Callable[[str], None]
    pictures: Pictures = field(default_factory=Pictures)
    sent: dict[str, int] = field(default_factory=dict)  # points by the subject's name
    failing: bool = False
    _trackers: dict[str, Tracker] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)

    def poll(self) -> None:
        """Send what is new. A tracker that fails is left until the next call."""
        self.failing = False
        for run in self.runs():
            try:
                subject, points = run_subject(run), run_points(run, self.pictures)
            except (InputError, OSError) as error:
                self._say_once(str(error))
                continue
            if points and not self._send(subject, points):
                return
        if not self._is_one_run and (points := folder_points(self.place)):
            self._send(folder_subject(self.place), points)
        for note in self.pictures.notes:
            self._say_once(note)

    def close(self) -> None:
        """Leave the tracker."""
        status = {run.name: run.read_status().get("status", "running") for run in self.runs()}
        for key, tracker in self._trackers.items():
            name, _, _ = key.rpartition("-")
            try:
                tracker.close(status.get(name, "complete"))
            except Exception as error:
                self._fail(error)
        self._trackers.clear()

    @property
    def over(self) -> bool:
        """Whether no run is under way."""
        return not any(map(_under_way, self.runs()))

    def runs(self) -> list[RunDir]:
        """The runs that there are by now."""
        return find_runs(self.place) if self.place.is_dir() else []

    @property
    def _is_one_run(self) -> bool:
        return RunDir(self.place).config_path.is_file()

    def _send(self, subject: Subject, points: list[Point]) -> bool:
        try:
            if subject.key not in self._trackers:
                self._trackers[subject.key] = start(self.options, subject)
            tracker = self._trackers[subject.key]
            missing = tracker.missing(points)
            for point in missing:
                tracker.send(point)
            if missing:
                tracker.flush()
        except Exception as error:  # whatever a back end raises: the next call asks it anew what it has
            self._trackers.pop(subject.key, None)
            self._fail(error)
            return False
        self.sent[subject.name] = self.sent.get(subject.name, 0) + len(missing)
        return True

    def _fail(self, error: Exception) -> None:
        self.failing = True
        reason = shorten(str(error).strip() or type(error).__name__, SENTENCE, placeholder=" ...")
        self._say_once(
            f"tracker={self.options.name} does not take what the runs write ({reason}). The runs go on, and what is "
            f"missing is sent when it does, or by `diffmem track {self.place} {words(self.options)}`."
        )

    def _say_once(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            self.say(sentence)


def _under_way(run: RunDir) -> bool:
    status = run.read_status()
    alive = time.time() - (status.get("heartbeat") or 0.0) < ALIVE_SECONDS
    return status.get("status") == "queued" or (status.get("status") == "running" and alive)


def follow(feed: Feed, ended: Callable[[float], bool]) -> None:
    """Send what is new until `ended(seconds)`, which waits so long at most, says that the runs are over; then the rest.

    A tracker that fails is left alone for a while, longer each time.
    """
    patience, at_least = PATIENCE_SECONDS[0], 0.0
    while not ended(POLL_SECONDS):
        if time.monotonic() < at_least:
            continue
        feed.poll()
        if feed.failing:
            at_least, patience = time.monotonic() + patience, min(2 * patience, PATIENCE_SECONDS[1])
        else:
            patience = PATIENCE_SECONDS[0]
    feed.poll()
    feed.close()
