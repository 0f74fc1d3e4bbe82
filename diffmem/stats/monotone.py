"""Monotone curves and when a curve comes to a level (numpy only).

isotonic            the non-decreasing curve nearest to the points
crossing_time       when a curve comes to a level, `crossing_times` for many curves at once

K points of a curve, B curves.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffmem.errors import NotReached


def isotonic(value: ArrayLike, weight: ArrayLike | None = None) -> NDArray[np.float64]:
    """Non-decreasing least-squares fit to the points of each of B curves, with positive weights.

    `value` is [K] or [B, K] in the order of the curve, `weight` [K] (none: equal weights). Returns the shape of
    `value`. The fit at point i is the largest over j <= i of the least mean of points j to k over k >= i.
    Source: Robertson, Wright and Dykstra 1988, "Order restricted statistical inference", Theorem 1.4.4.
    """
    y = np.asarray(value, dtype=np.float64)
    w = np.ones(y.shape[-1]) if weight is None else np.asarray(weight, dtype=np.float64)
    curves = np.atleast_2d(y)
    mass = np.concatenate([[0.0], np.cumsum(w)])
    moment = np.concatenate([np.zeros((len(curves), 1)), np.cumsum(curves * w, axis=1)], axis=1)
    fit = np.full(curves.shape, -np.inf)
    for j in range(curves.shape[1]):
        means = (moment[:, j + 1 :] - moment[:, j : j + 1]) / (mass[j + 1 :] - mass[j])
        least = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
        np.maximum(fit[:, j:], least, out=fit[:, j:])
    return fit.reshape(y.shape)


class Crossings(NamedTuple):
    """When B curves come to their level, and the index of the first point after (K where there is none)."""

    time: NDArray[np.float64]  # [B], steps; inf: not by the last point; -inf: already at the first
    after: NDArray[np.int64]  # [B]


def crossing_times(
    step: ArrayLike,
    value: ArrayLike,
    level: ArrayLike,
    *,
    rising: bool = True,
    stays: ArrayLike = False,
) -> Crossings:
    """Times at which each of B curves comes to its level, `value >= level` (`<=` where not rising), and stays.

    `step` [K] ascends; `value` is [B, K] and `level` broadcasts to [B]. A point short of the level undoes the
    points before it unless `stays` (broadcast to [B, K]) is true there; so `stays=True` reads the first crossing.
    The time is interpolated linearly in log step between the last point before and the first after. Step 0 has no
    logarithm: in the bracket that begins there, time is interpolated linearly in step.
    Raises ValueError for no points, steps that do not ascend, or NaN.
    """
    x = np.asarray(step, dtype=np.float64)
    y = np.atleast_2d(np.asarray(value, dtype=np.float64))
    at = np.broadcast_to(np.asarray(level, dtype=np.float64), y.shape[:1])[:, None]
    if x.size == 0 or x[0] < 0 or np.any(np.diff(x) <= 0):
        raise ValueError("a curve needs points at steps that ascend from 0 or more.")
    if np.isnan(y).any() or np.isnan(at).any():
        raise ValueError("a curve with NaN has no crossing: drop those points first.")
    beyond = y >= at if rising else y <= at
    holds = np.logical_and.accumulate((beyond | np.asarray(stays, dtype=bool))[:, ::-1], axis=1)[:, ::-1]
    lasting = beyond & holds
    after = np.where(lasting.any(axis=1), lasting.argmax(axis=1), len(x))
    time = np.where(after == 0, -np.inf, np.inf)
    inside = np.flatnonzero((after > 0) & (after < len(x)))
    right = after[inside]
    y0, y1 = y[inside, right - 1], y[inside, right]
    share = (at[inside, 0] - y0) / (y1 - y0)
    x0, x1 = x[right - 1], x[right]
    from_zero = x0 == 0
    log_time = (1 - share) * np.log(np.where(from_zero, 1.0, x0)) + share * np.log(x1)
    time[inside] = np.where(from_zero, share * x1, np.exp(log_time))
    return Crossings(time, after)


def crossing_time(
    step: ArrayLike, value: ArrayLike, level: float, *, rising: bool = True, stays: ArrayLike = False
) -> float:
    """Time at which one curve, `value` [K] at `step` [K], comes to `level` and stays: see `crossing_times`.

    Returns steps, never extrapolated. Raises NotReached where the level is not reached by the last point (with the
    last step and value) or holds already at the first (with the first step and value).
    """
    found = crossing_times(step, value, level, rising=rising, stays=stays)
    time, end = float(found.time[0]), 0 if found.after[0] == 0 else -1
    if math.isfinite(time):
        return time
    last_step, last_value = float(np.asarray(step)[end]), float(np.asarray(value)[end])
    when = "already at the first" if end == 0 else "not by the last"
    raise NotReached(
        f"level {level:g} is reached {when} step {last_step:g} (value {last_value:g}).",
        last_step=last_step,
        value=last_value,
    )
