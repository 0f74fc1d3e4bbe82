"""Definitions of τ_gen, the training time at which samples are good.

    quality_reaches  quality comes to a level common to the family and stays there up to τ_mem       (the default)
    quality_settles  quality comes within 1.05 of the best this run has before τ_mem, and stays there up to τ_mem; for a
                     kernel distance, which may be negative, to the upper end of the interval of that best
    quality_argmin   the step with the best quality before τ_mem
    loss_reaches     L_test first comes to best + 0.1 (L_test(0) - best)
    score_reaches    R first comes to 1/2: the score is half of the gap away from the population's (mixture only)

Lower quality is better. Only `quality_reaches` compares runs at one level (`level`), so only it can show that τ_gen
does not depend on n: how far quality goes in the end does depend on it.

K points of a curve, B resampled copies; arrays [1 + B, ...] have the observed curve in front.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from diffmem.definitions import may_be_negative
from diffmem.stats.monotone import crossing_times

from .curves import Array, Curve, Draws
from .level import Level
from .tau_mem import GAP, losses, scores
from .timescale import Timescale, read_off, refused

SETTLED_FACTOR = 1.05
NEAR = 0.5  # R at which a score is called the population's


def quality_reaches(curve: Curve, level: Level, memorization: Timescale, draws: Draws) -> Timescale:
    if draws.quality is None:
        return refused("quality_reaches", curve, 1 + draws.n_boot, "no quality was measured")
    if math.isnan(level.value):
        return refused("quality_reaches", curve, 1 + draws.n_boot, f"no common level: {level.why}")
    return _comes_to("quality_reaches", np.full(1 + draws.n_boot, level.value), curve, memorization, draws)


def quality_settles(curve: Curve, level: Level, memorization: Timescale, draws: Draws) -> Timescale:
    if draws.quality is None:
        return refused("quality_settles", curve, 1 + draws.n_boot, "no quality was measured")
    value = np.where(_until(curve, memorization), draws.quality, np.inf)
    best = value.min(axis=1)
    if not may_be_negative(curve.measure or ""):
        return _comes_to("quality_settles", SETTLED_FACTOR * best, curve, memorization, draws)
    if curve.quality is None or curve.quality_high is None:
        note = f"{curve.measure} may be negative, and the rows hold no interval that says how near its best is"
        return refused("quality_settles", curve, 1 + draws.n_boot, note)
    width = np.nan_to_num(curve.quality_high - curve.quality)  # [K]: a factor of a value near zero says nothing
    return _comes_to("quality_settles", best + width[value.argmin(axis=1)], curve, memorization, draws)


def quality_argmin(curve: Curve, level: Level, memorization: Timescale, draws: Draws) -> Timescale:
    if draws.quality is None:
        return refused("quality_argmin", curve, 1 + draws.n_boot, "no quality was measured")
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


def score_reaches(curve: Curve, level: Level, memorization: Timescale, draws: Draws) -> Timescale:
    apart, _ = scores(curve)
    crossing = crossing_times(curve.step, apart, NEAR, rising=False, stays=True)
    copies = np.full(1 + draws.n_boot, crossing.time[0])
    return read_off("score_reaches", copies, int(crossing.after[0]), curve.step, (f"scores at t = {curve.score_t}",))


GEN_DEFINITIONS: dict[str, Callable[[Curve, Level, Timescale, Draws], Timescale]] = {
    "quality_reaches": quality_reaches,
    "quality_settles": quality_settles,
    "quality_argmin": quality_argmin,
    "loss_reaches": loss_reaches,
    "score_reaches": score_reaches,
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
    value = np.where(counts, draws.quality, np.inf)
    crossing = crossing_times(curve.step, value, level, rising=False, stays=~counts | (draws.low <= level[:, None]))
    notes: tuple[str, ...] = ()
    if curve.quality_low is None:
        notes += ("the rows hold no interval of quality: no interval of tau_gen",)
    return read_off(name, crossing.time, int(crossing.after[0]), curve.step[counts[0]], notes)
