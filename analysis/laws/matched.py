"""Two runs at equal quality: what one costs beside the other, stopped where both are as good.

    q = the worse of the two best qualities, each and its margin,   τ_i = the first time at which run i comes to q,
    cost(run 1, τ_1) - cost(run 2, τ_2)

Quality (lower is better) is read off a falling fit and cost (a share, or a gap of losses) off a rising one, between two
checkpoints linearly in log τ. The margin is what tells no two qualities apart: where quality hardly changes any more,
the time of its very best is one of noise. Both reach q by construction, so the difference is never censored; and
whoever only learns more slowly passes through the same pairs of quality and cost, later, and has the difference 0.

K points of a curve.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffmem.stats.monotone import crossing_times, isotonic

Array = NDArray[np.float64]


class Course(NamedTuple):
    """One run past step 0: `step`, `quality` and `cost` [K], without NaN, and the `margin` of its best quality."""

    step: Array
    quality: Array
    cost: Array
    margin: float


class Matched(NamedTuple):
    """`difference` of the costs at `quality`, which the runs come to at the steps `times`."""

    difference: float
    quality: float
    times: tuple[float, float]


def matched(first: Course, second: Course) -> Matched:
    """The cost of `first` less that of `second` where both are as good as the worse of them becomes."""
    quality = max(float(_fall(course)[-1]) + course.margin for course in (first, second))
    times = _reaches(first, quality), _reaches(second, quality)
    return Matched(_cost(first, times[0]) - _cost(second, times[1]), quality, times)


def _fall(course: Course) -> Array:
    """The falling fit to quality [K]."""
    return -isotonic(-course.quality)


def _reaches(course: Course, quality: float) -> float:
    """When a run comes to `quality`, which it does; its first step where it begins there."""
    time = float(crossing_times(course.step, _fall(course), quality, rising=False).time[0])
    return time if np.isfinite(time) else float(course.step[0])


def _cost(course: Course, time: float) -> float:
    return float(np.interp(np.log(time), np.log(course.step), isotonic(course.cost)))
