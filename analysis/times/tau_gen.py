"""Definitions of τ_gen, the training time at which samples are good.

    quality_reaches  quality comes to a level common to the family and stays there up to τ_mem       (the default)
    quality_settles  quality comes within 1.05 of the best this run has before τ_mem, and stays there up to τ_mem
    quality_argmin   the step with the best quality before τ_mem
    loss_reaches     L_test first comes to best + 0.1 (L_test(0) - best)

Quality is positive, and lower is better. Only `quality_reaches` compares runs at one level, so only it can show that
τ_gen does not depend on n: how far quality goes in the end does depend on it.

K points of a curve, B resampled copies; arrays [1 + B, ...] have the observed curve in front.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from diffmem.errors import InputError
from diffmem.stats.monotone import crossing_times

from .curves import Array, Curve, Draws, observed, where_quality
from .tau_mem import GAP, losses
from .timescale import Timescale, read_off, refused

LEVEL_FACTOR = 1.5
SETTLED_FACTOR = 1.05


@dataclass(frozen=True)
class Level:
    """The level of quality common to a family: observed in front of its resampled copies, [1 + B]."""

    values: Array
    set_by: str | None  # run; None where the level was given
    left_out: dict[str, str]  # run -> why


def common_level(curves: list[Curve], memorization: list[Timescale], draws: list[Draws] | None = None) -> Level:
    """1.5 times the best quality, before τ_mem, of the run whose best is poorest.

    Eligible are runs that reached τ_mem, or whose last three qualities agree within their intervals. `values` is NaN
    where no run is eligible.
    """
    draws = draws or [observed(curve) for curve in curves]
    best = np.full((len(curves), len(memorization[0].copies)), -np.inf)  # [runs, 1 + B]
    left_out = {}
    pairs = [where_quality(curve, drawn) for curve, drawn in zip(curves, draws, strict=True)]
    for place, ((curve, drawn), times) in enumerate(zip(pairs, memorization, strict=True)):
        why = _why_left_out(curve, times)
        if why:
            left_out[curve.run] = why
        if drawn.quality is None or times.status == "refused":
            continue
        settled = _settled(curve)
        eligible = np.isfinite(times.copies) | (settled & (times.copies == np.inf))
        before = curve.step <= times.copies[:, None]
        best[place, eligible] = np.where(before, drawn.quality, np.inf).min(axis=1)[eligible]
    poorest = best.max(axis=0)
    values = np.where(np.isfinite(poorest), LEVEL_FACTOR * poorest, np.nan)
    set_by = curves[int(best[:, 0].argmax())].run if np.isfinite(poorest[0]) else None
    return Level(values, set_by, left_out)


def given_level(level: float, n_boot: int) -> Level:
    """A level of quality that is given. Raises InputError unless it is above 0."""
    if not level > 0:
        raise InputError(f"level={level} is no level of quality: give a distance above 0, or none.")
    return Level(np.full(1 + n_boot, level), None, {})


def quality_reaches(curve: Curve, level: Level, memorization: Timescale, draws: Draws) -> Timescale:
    if draws.quality is None:
        return refused("quality_reaches", curve, len(level.values), "no quality was measured")
    if np.isnan(level.values[0]):
        note = "no common level: no run reached tau_mem and none has settled; train longer, or give a level"
        return refused("quality_reaches", curve, len(level.values), note)
    time = _comes_to("quality_reaches", level.values, curve, memorization, draws)
    if level.set_by != curve.run:
        return time
    return replace(time, notes=(*time.notes, "this run sets the common level"))


def quality_settles(curve: Curve, level: Level, memorization: Timescale, draws: Draws) -> Timescale:
    if draws.quality is None:
        return refused("quality_settles", curve, len(level.values), "no quality was measured")
    best = np.where(_until(curve, memorization), draws.quality, np.inf).min(axis=1)
    return _comes_to("quality_settles", SETTLED_FACTOR * best, curve, memorization, draws)


def quality_argmin(curve: Curve, level: Level, memorization: Timescale, draws: Draws) -> Timescale:
    if draws.quality is None:
        return refused("quality_argmin", curve, len(level.values), "no quality was measured")
    counts = _until(curve, memorization)
    best = np.where(counts, draws.quality, np.inf).argmin(axis=1)  # [1 + B]
    last = counts.sum(axis=1) - 1
    times = np.where(best == 0, -np.inf, np.where(best == last, np.inf, curve.step[best]))
    time = read_off("quality_argmin", times, int(best[0]), curve.step[counts[0]])
    return replace(time, points=(int(curve.step[best[0]]),))


def loss_reaches(curve: Curve, level: Level, memorization: Timescale, draws: Draws) -> Timescale:
    _, test = losses(curve)
    if curve.step[0] != 0:
        return refused("loss_reaches", curve, 1 + draws.n_boot, "no loss at step 0, from which its fall is measured")
    crossing = crossing_times(curve.step, test, test.min() + GAP * (test[0] - test.min()), rising=False, stays=True)
    notes = (f"losses at t = {curve.loss_t}",)
    copies = np.full(1 + draws.n_boot, crossing.time[0])
    return read_off("loss_reaches", copies, int(crossing.after[0]), curve.step, notes)


GEN_DEFINITIONS: dict[str, Callable[[Curve, Level, Timescale, Draws], Timescale]] = {
    "quality_reaches": quality_reaches,
    "quality_settles": quality_settles,
    "quality_argmin": quality_argmin,
    "loss_reaches": loss_reaches,
}


def _until(curve: Curve, memorization: Timescale) -> NDArray[np.bool_]:
    """The points that count, those up to τ_mem: [1 + B, K], the first one always."""
    until = np.where(np.isfinite(memorization.copies), memorization.copies, np.inf)
    counts: NDArray[np.bool_] = curve.step <= until[:, None]
    counts[:, 0] = True
    return counts


def _comes_to(name: str, level: Array, curve: Curve, memorization: Timescale, draws: Draws) -> Timescale:
    """When quality comes to `level` [1 + B] and stays there up to τ_mem."""
    assert draws.quality is not None
    assert draws.low is not None
    counts = _until(curve, memorization)  # [1 + B, K]; later points are neither reached nor broken
    at = np.where(np.isnan(level), 0.0, level)
    value = np.where(counts, draws.quality, np.inf)
    crossing = crossing_times(curve.step, value, at, rising=False, stays=~counts | (draws.low <= at[:, None]))
    notes: tuple[str, ...] = ()
    if curve.quality_low is None:
        notes += ("the rows hold no interval of quality: no interval of tau_gen",)
    return read_off(name, crossing.time, int(crossing.after[0]), curve.step[counts[0]], notes)


def _settled(curve: Curve) -> bool:
    """Whether the last three qualities agree: one value lies within all three intervals."""
    if curve.quality_low is None or curve.quality_high is None or len(curve.step) < 3:
        return False
    return bool(curve.quality_low[-3:].max() <= curve.quality_high[-3:].min())


def _why_left_out(curve: Curve, memorization: Timescale) -> str:
    if curve.quality is None:
        return "no quality was measured"
    if memorization.status == "refused":
        return "its tau_mem is refused"
    if memorization.status == "left":
        return "it memorizes from the first point on"
    if memorization.status == "reached" or _settled(curve):
        return ""
    return "it did not reach tau_mem, and its last three qualities do not agree"
