"""What a tracker promises, and what it is given. Each back end has a file of its own, named after it.

A tracker asks its back end what is there already, so a run that goes on, here or elsewhere, is the same run there and
no point stands twice. Nothing about it is kept beside the run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from diffmem.config.options import to_mapping
from diffmem.config.tracker import Tracker as Options
from diffmem.errors import InputError

Image = NDArray[np.uint8]  # [height, width, 3]


@dataclass(frozen=True)
class Subject:
    """What becomes one run of the tracker: a run of ours, or a folder of them with its figures."""

    key: str  # equal for what is to be one run there
    name: str
    folder: Path  # of the runs
    settings: Mapping[str, Any]  # nested; the same whenever the key is


@dataclass(frozen=True)
class Point:
    """What was measured at one step: finite values by name, `marker` the last of them, and images, drawn on demand."""

    step: int
    values: Mapping[str, float]
    images: Callable[[], Mapping[str, Image]]

    @property
    def marker(self) -> str:
        """A name that every point of the subject has. Sent last, it says that the point is whole."""
        return list(self.values)[-1]


class Tracker(Protocol):
    """One subject in one back end. Any of these may raise whatever the back end raises."""

    def missing(self, points: Sequence[Point]) -> list[Point]:
        """Those of all the subject's points that the back end has not, in their order."""

    def send(self, point: Point) -> None:
        """Send one of the missing points."""

    def flush(self) -> None:
        """Have all that was sent stored."""

    def close(self, status: str) -> None:
        """Leave. `status` is that of the run: running, complete, stopped, diverged, failed or interrupted."""


def check(options: Options) -> None:
    """Raise InputError where the tracker's package is missing or its options can't work. Asks no server."""
    if options.name == "none":
        return
    if find_spec(options.name) is None:
        raise InputError(f"tracker={options.name} takes a package that is missing: pip install 'diffmem[trackers]'.")
    _file(options).check(options)


def start(options: Options, subject: Subject) -> Tracker:
    """The tracker that `options` name, for one subject: `start(options, subject)` of the module of that name."""
    tracker: Tracker = _file(options).start(options, subject)
    return tracker


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found


def words(options: Options) -> str:
    """The options as they are typed."""
    chosen = {name: value for name, value in to_mapping(options).items() if value is not None and name != options.tag}
    return " ".join([f"tracker={options.name}", *(f"tracker.{name}={value}" for name, value in chosen.items())])


def _file(options: Options) -> Any:
    return import_module(f"diffmem.trackers.{options.name}")
