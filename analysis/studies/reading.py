"""What a reader of a study is given, runs, and what it gives: a number with its interval for each claim, a figure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..figures.files import Picture
from ..pipeline import Images


@dataclass(frozen=True, kw_only=True)
class Request:
    """`places`: where the runs or the table of each arm lie; `keys` of the claims; `images` of stored samples."""

    places: Mapping[str, Path]
    keys: Sequence[str]
    images: Images


class Found(NamedTuple):
    """What runs say of one claim: `ours` in [`low`, `high`] (95%), the `setting` in words, a `note` to it.

    `ours` is NaN where it was not measured; the note then says why.
    """

    ours: float
    low: float
    high: float
    setting: str
    note: str = ""


class Reading(NamedTuple):
    """`found` by the keys of the claims."""

    found: dict[str, Found]
    picture: Picture


def missing(setting: str, note: str) -> Found:
    """A claim of which the runs say nothing, and why."""
    return Found(math.nan, math.nan, math.nan, setting, note)
