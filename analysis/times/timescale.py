"""A time read off a curve: its value, its interval from resampled copies, and what it is known to lie beyond.

K points of a curve, B resampled copies; arrays [1 + B] have the observed curve in front.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .curves import Array, Curve


@dataclass(frozen=True)
class Timescale:
    """One time of one run, in optimizer steps.

    `value` is NaN unless `status` is "reached"; "right": not by `last_step`; "left": before `last_step`; "refused":
    the definition does not apply, see `notes`. `points` are the steps of the two points it is read between.
    `low` and `high` are a 95% interval (NaN without resampling; high is inf where too many copies do not reach it).
    """

    definition: str
    value: float
    low: float
    high: float
    status: str
    last_step: float
    points: tuple[int, ...]
    notes: tuple[str, ...]
    copies: Array  # [1 + B]: the value and its resampled copies; inf for right-, -inf for left-censored
    bound: float  # what a law takes for a censored time: it is known to lie beyond this step


def read_off(definition: str, copies: Array, after: int, step: NDArray[np.int64], notes: tuple[str, ...]) -> Timescale:
    """The time of `copies` [1 + B] in steps; inf: not reached, -inf: true at the first point already.

    `step` are the steps at which the time could be seen; `after` the index of the first point after it.
    """
    value, last = float(copies[0]), float(step[-1])
    if value == np.inf:
        return Timescale(definition, np.nan, np.nan, np.nan, "right", last, (int(step[-1]),), notes, copies, last)
    if value == -np.inf:
        # a bound of 0 would say nothing: what holds at step 0 and at the next point holds before that point
        first = float(step[step > 0][0]) if (step > 0).any() else 0.0
        if step[0] == 0:
            notes += ("true at step 0 already, before any training",)
        return Timescale(definition, np.nan, np.nan, np.nan, "left", first, (int(step[0]),), notes, copies, first)
    low = high = np.nan
    if len(copies) > 1 and not (copies[1:] == value).all():
        low = max(float(np.quantile(copies[1:], 0.025, method="lower")), 0.0)
        high = float(np.quantile(copies[1:], 0.975, method="higher"))
        unreached = int((copies[1:] == np.inf).sum())
        if unreached:
            notes += (f"not reached in {unreached} of {len(copies) - 1} resampled copies",)
    points = (int(step[after - 1]), int(step[after]))
    return Timescale(definition, value, low, high, "reached", last, points, notes, copies, last)


def refused(definition: str, curve: Curve, size: int, note: str) -> Timescale:
    last = float(curve.step[-1])
    return Timescale(definition, np.nan, np.nan, np.nan, "refused", last, (), (note,), np.full(size, np.inf), last)


def never(curve: Curve, n_boot: int) -> Timescale:
    """A time that is not reached, for a curve that does not measure it."""
    return read_off("not measured", np.full(1 + n_boot, np.inf), 0, curve.step, ())
