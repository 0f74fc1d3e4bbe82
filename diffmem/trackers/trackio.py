"""trackio's store on this machine: `trackio show --project PROJECT` shows it.

It has one run open at a time and writes it when that is finished, so the points of a run are sent together.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence

from diffmem.config.tracker import TrackioTracker
from diffmem.errors import InputError
from diffmem.trackers.base import Point, Subject


def check(options: TrackioTracker) -> None:
    """Raise InputError for a name that trackio does not take."""
    from trackio.sqlite_storage import SQLiteStorage

    try:
        SQLiteStorage.validate_project_name(options.project)
    except ValueError as error:
        raise InputError(f"tracker.project={options.project}: {error}") from error


def start(options: TrackioTracker, subject: Subject) -> "Trackio":
    return Trackio(options, subject)


class Trackio:
    """One run of a project."""

    def __init__(self, options: TrackioTracker, subject: Subject) -> None:
        from trackio.sqlite_storage import SQLiteStorage

        self._project, self._subject = options.project, subject
        self._known = {log["step"] for log in SQLiteStorage.get_logs(options.project, subject.key)}
        self._waiting: list[Point] = []

    def missing(self, points: Sequence[Point]) -> list[Point]:
        return [point for point in points if point.step not in self._known]

    def send(self, point: Point) -> None:
        self._waiting.append(point)
        self._known.add(point.step)

    def flush(self) -> None:
        import trackio

        with _quiet():
            trackio.init(
                project=self._project,
                name=self._subject.key,
                group=self._subject.folder.resolve().name,
                config=dict(self._subject.settings),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
            for point in self._waiting:
                images = {name: trackio.Image(image) for name, image in point.images().items()}
                trackio.log({**images, **point.values}, step=point.step)
            trackio.finish()
        self._waiting.clear()

    def close(self, status: str) -> None:
        """Nothing is open."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """It tells of every run that it opens."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
