"""The training times of a run: τ_mem, when f_mem leaves its null, and τ_gen, when quality is there.

Times are read off curves y(τ), linearly in log τ between the last point before and the first after, and never
extrapolated. A time not reached by the last step is right-censored (τ > last step), one already true at the first
point is left-censored; neither has a value, only the step it is known to lie beyond.

    τ_mem  fmem_crosses     f_mem rises through null + θ (1 - null), θ = 0.05, and stays
    τ_gen  quality_reaches  quality comes to a level common to the family and stays there up to τ_mem

K points of a curve, B resampled copies; arrays [1 + B, ...] have the observed curve in front.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diffmem.errors import InputError
from diffmem.stats import crossing_times, isotonic

from .curves import Array, Curve, Draws, Z, family_curves, observed, quality_column, resample
from .table import Family

THETA = 0.05
NULL_LIMIT = 0.5
LEVEL_FACTOR = 1.5
DIP = 4.0  # standard errors


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


@dataclass(frozen=True)
class Level:
    """The level of quality common to a family: observed in front of its resampled copies, [1 + B]."""

    values: Array
    set_by: str | None  # run; None where the level was given
    left_out: dict[str, str]  # run -> why


def tau_mem(curve: Curve, definition: str = "fmem_crosses", draws: Draws | None = None) -> Timescale:
    """Memorization time of one run, with an interval where resampled `draws` are given.

    Raises InputError for an unknown definition or a curve without f_mem or its null.
    """
    if definition not in MEM_DEFINITIONS:
        raise InputError(f"tau_mem definition {definition!r} is not one of {', '.join(MEM_DEFINITIONS)}.")
    return MEM_DEFINITIONS[definition](curve, draws or observed(curve))


def tau_gen(
    curve: Curve,
    level: Level,
    memorization: Timescale,
    definition: str = "quality_reaches",
    draws: Draws | None = None,
) -> Timescale:
    """Generalization time of one run: its quality at the family's `level`, and there up to τ_mem (`memorization`).

    Raises InputError for an unknown definition or a curve without quality.
    """
    if definition not in GEN_DEFINITIONS:
        raise InputError(f"tau_gen definition {definition!r} is not one of {', '.join(GEN_DEFINITIONS)}.")
    return GEN_DEFINITIONS[definition](curve, level, memorization, draws or observed(curve))


def common_level(curves: list[Curve], memorization: list[Timescale], draws: list[Draws] | None = None) -> Level:
    """1.5 times the best quality, before τ_mem, of the run whose best is poorest.

    Eligible are runs that reached τ_mem, or whose last three qualities agree within their intervals. `values` is NaN
    where no run is eligible.
    """
    draws = draws or [observed(curve) for curve in curves]
    best = np.full((len(curves), len(memorization[0].copies)), -np.inf)  # [runs, 1 + B]
    left_out = {}
    for place, (curve, times, drawn) in enumerate(zip(curves, memorization, draws, strict=True)):
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


def family_times(
    family: Family, n_boot: int = 1000, seed: int = 0, *, level: float | None = None, quality: str | None = None
) -> pd.DataFrame:
    """τ_mem and τ_gen of every run with 95% intervals: the contents of `timescales.csv`.

    A time that is not reached is NaN, with its status and `*_last_step`, the step it is known to lie beyond. `level`
    is the common level of quality, by default that of `common_level`; `quality` names the measure.
    Raises InputError where the table lacks f_mem.
    """
    curves = family_curves(family, quality)
    draws = resample(family, curves, n_boot, seed)
    memorization = [tau_mem(curve, draws=drawn) for curve, drawn in zip(curves, draws, strict=True)]
    if level is not None and not level > 0:
        raise InputError(f"level={level} is no level of quality: give a distance above 0, or none.")
    common = common_level(curves, memorization, draws) if level is None else Level(np.full(1 + n_boot, level), None, {})
    measure = quality_column(family.rows, quality)
    records = []
    for entry, curve, drawn, mem in zip(family.runs.to_dict("records"), curves, draws, memorization, strict=True):
        gen = tau_gen(curve, common, mem, draws=drawn)
        notes = [*drawn.notes, *(f"tau_mem: {note}" for note in mem.notes), *(f"tau_gen: {note}" for note in gen.notes)]
        if curve.run in common.left_out:
            notes.append(f"left out of the common level: {common.left_out[curve.run]}")
        records.append(
            {name: entry[name] for name in ("run", "n", "width", "seed", "index")}
            | _record("tau_mem", mem)
            | _record("tau_gen", gen)
            | {"quality": measure, "level": common.values[0], "level_set_by": common.set_by, "notes": "; ".join(notes)}
        )
    return pd.DataFrame(records)


def _record(name: str, time: Timescale) -> dict[str, object]:
    parts = {"": time.value, "_low": time.low, "_high": time.high, "_status": time.status}
    parts |= {"_last_step": time.last_step, "_definition": time.definition}
    return {name + end: value for end, value in parts.items()}


def _fmem_crosses(curve: Curve, draws: Draws) -> Timescale:
    if draws.count is None or curve.total is None or draws.null is None:
        raise InputError(
            f"run {curve.run} has no f_mem or no null: tau_mem needs f_mem_count, f_mem_total, f_mem_null."
        )
    if draws.null[0] > NULL_LIMIT:
        note = (
            f"the null, f_mem of held-out images, is {draws.null[0]:.2f}, above {NULL_LIMIT}: f_mem says nothing here"
        )
        return _refused("fmem_crosses", curve, len(draws.null), note)
    level = draws.null + THETA * (1 - draws.null)
    share = draws.count / curve.total  # [1 + B, K]
    found = crossing_times(curve.step, isotonic(share, curve.total), level)
    after = np.arange(len(curve.step)) >= found.after[:, None]
    excess = share - level[:, None]
    # Wilson's lower bound is above the level where the score test rejects it
    sure = excess > Z * np.sqrt(np.outer(level * (1 - level), 1 / curve.total))
    held = ((after & (excess > 0)).sum(axis=1) >= 2) | (after & sure).any(axis=1)
    times = np.where(held, found.time, np.inf)
    notes = _dips(curve)
    if np.isfinite(found.time[0]) and not held[0]:
        notes += (f"above the level at step {curve.step[-1]} only, and not surely: not counted as reached",)
    return _timescale("fmem_crosses", times, int(found.after[0]), curve.step, notes)


def _quality_reaches(curve: Curve, level: Level, memorization: Timescale, draws: Draws) -> Timescale:
    if draws.quality is None or draws.low is None:
        return _refused("quality_reaches", curve, len(level.values), "no quality was measured")
    if np.isnan(level.values[0]):
        note = "no common level: no run reached tau_mem and none has settled; train longer, or give a level"
        return _refused("quality_reaches", curve, len(level.values), note)
    until = memorization.copies
    until = np.where(np.isfinite(until), until, np.inf)
    counts = curve.step <= until[:, None]  # [1 + B, K]; later points are neither reached nor broken
    at = np.where(np.isnan(level.values), 0.0, level.values)
    value = np.where(counts, draws.quality, np.inf)
    found = crossing_times(curve.step, value, at, rising=False, stays=~counts | (draws.low <= at[:, None]))
    notes: tuple[str, ...] = ()
    if curve.quality_low is None:
        notes += ("the rows hold no interval of quality: no interval of tau_gen",)
    if level.set_by == curve.run:
        notes += ("this run sets the common level",)
    return _timescale("quality_reaches", found.time, int(found.after[0]), curve.step[counts[0]], notes)


MEM_DEFINITIONS: dict[str, Callable[[Curve, Draws], Timescale]] = {"fmem_crosses": _fmem_crosses}
GEN_DEFINITIONS: dict[str, Callable[[Curve, Level, Timescale, Draws], Timescale]] = {
    "quality_reaches": _quality_reaches
}


def _timescale(
    definition: str, copies: Array, after: int, step: NDArray[np.int64], notes: tuple[str, ...]
) -> Timescale:
    """`step` are the steps at which the time could be seen; `after` the index of the first point after it."""
    value = float(copies[0])
    if value == np.inf:
        return Timescale(definition, np.nan, np.nan, np.nan, "right", float(step[-1]), (int(step[-1]),), notes, copies)
    if value == -np.inf:
        # a bound of 0 would say nothing: what holds at step 0 and at the next point holds before that point
        first = int(step[step > 0][0]) if (step > 0).any() else 0
        if step[0] == 0:
            notes += ("true at step 0 already, before any training",)
        return Timescale(definition, np.nan, np.nan, np.nan, "left", float(first), (int(step[0]),), notes, copies)
    low = high = np.nan
    if len(copies) > 1 and not (copies[1:] == value).all():
        low = max(float(np.quantile(copies[1:], 0.025, method="lower")), 0.0)
        high = float(np.quantile(copies[1:], 0.975, method="higher"))
        unreached = int((copies[1:] == np.inf).sum())
        if unreached:
            notes += (f"not reached in {unreached} of {len(copies) - 1} resampled copies",)
    points = (int(step[after - 1]), int(step[after]))
    return Timescale(definition, value, low, high, "reached", float(step[-1]), points, notes, copies)


def _refused(definition: str, curve: Curve, size: int, note: str) -> Timescale:
    last = float(curve.step[-1])
    return Timescale(definition, np.nan, np.nan, np.nan, "refused", last, (), (note,), np.full(size, np.inf))


def _dips(curve: Curve) -> tuple[str, ...]:
    """A note where f_mem falls by more than `DIP` standard errors from one point to a later one."""
    assert curve.count is not None
    assert curve.total is not None
    share = curve.count / curve.total
    fall = share[:, None] - share[None, :]  # [K, K]: from the row's point to the column's
    pooled = (curve.count[:, None] + curve.count) / (curve.total[:, None] + curve.total)
    error = np.sqrt(pooled * (1 - pooled) * (1 / curve.total[:, None] + 1 / curve.total))
    z = np.triu(np.divide(fall, error, out=np.zeros_like(fall), where=error > 0), 1)
    i, j = np.unravel_index(int(z.argmax()), z.shape)
    if z[i, j] <= DIP:
        return ()
    return (
        f"f_mem falls from {share[i]:.3f} at step {curve.step[i]} to {share[j]:.3f} at step {curve.step[j]}, "
        f"{z[i, j]:.1f} standard errors",
    )


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
    return (
        ""
        if memorization.status == "reached" or _settled(curve)
        else "it did not reach tau_mem, and its last three qualities do not agree"
    )
