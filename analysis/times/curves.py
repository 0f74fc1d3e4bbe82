"""The curves of a run, y(τ), and their resampled copies: what a timescale is read off, and its uncertainty.

All checkpoints of all runs start from the same noise, so their samples are paired: where the per-sample ratios are
stored, the noise indices are drawn once and used at every step of every run. Where only counts are known, the noise is
taken as shared along the curve, since independent noise would average out between neighbours and leave too narrow
an interval; what points scatter beyond that is added (`noise`). p_train is a mean of values in [0, 1]: its curve is
that of a share of the number of samples that its interval stands for, and is resampled in the same way. A Fréchet
distance is drawn log-normal with the width of its jackknife interval, a kernel distance normal with that of its own,
all points of a curve together.

K points of a curve, M samples, B resampled copies; arrays [1 + B, ...] have the observed curve in front.
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diffmem.definitions import THRESHOLD, K, higher_is_better, may_be_negative, quality_column
from diffmem.errors import InputError
from diffmem.stats.intervals import effective_size
from diffmem.stats.monotone import isotonic

from ..tables.bookends import bookends
from ..tables.family import Family
from .noise import Array, copies_of, jitter, pair_weights
from .rising import Z, without_excursions

PER_POINT = (
    *("count", "total", "quality", "quality_low", "quality_high"),
    *("loss_train", "loss_test", "score_apart", "score_lean"),
)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What one run measured at its K steps. `null` is (count, total) of held-out images, or a bare fraction.

    `quality` is a distance, of which lower is better (1 - y of a share, of which higher is), and so are its `bookends`.
    `count` of `total` samples count in `share`: f_mem, or p_train, of which both are effective numbers. `measure` is
    the column of its quality, `bookends` what that measure says of known generators.
    """

    run: str
    step: NDArray[np.int64]  # [K]
    count: Array | None = None  # [K] memorized samples
    total: Array | None = None  # [K] samples
    null: tuple[float, float] | float | None = None
    share: str = "f_mem"
    measure: str | None = None
    bookends: Mapping[str, float] = field(default_factory=dict)
    quality: Array | None = None  # [K] lower is better; NaN where it was not measured
    quality_low: Array | None = None  # [K] 95% interval
    quality_high: Array | None = None  # [K]
    loss_train: Array | None = None  # [K] ε-loss on training images at diffusion time `loss_t`
    loss_test: Array | None = None  # [K]
    loss_t: int | None = None
    score_apart: Array | None = None  # [K] R: error of the score at diffusion time `score_t`, in units of the gap
    score_lean: Array | None = None  # [K] R2: 1 at the population's score, -1 at the training set's
    score_t: int | None = None


@dataclass(frozen=True)
class Draws:
    """A curve (row 0) and its B resampled copies, in which counts need not be whole.

    `low` is the lower end of each point's own 95% interval.
    """

    count: Array | None  # [1 + B, K]
    null: Array | None  # [1 + B]
    quality: Array | None  # [1 + B, K]
    low: Array | None  # [1 + B, K]
    n_boot: int  # B
    notes: tuple[str, ...] = ()


def loss_time(rows: pd.DataFrame, t: int | None = None) -> int | None:
    """The diffusion time at which losses are read: `t`, or the smallest in the table; None where there is none."""
    matches = [re.fullmatch(r"loss_test_t(\d+)", str(name)) for name in rows]
    have = [int(match[1]) for match in matches if match and f"loss_train_t{match[1]}" in rows]
    if t is not None and t not in have:
        known = ", ".join(map(str, sorted(have))) or "none"
        raise InputError(f"loss_t={t}: the table has no losses at that diffusion time; it has {known}.")
    return min(have, default=None) if t is None else t


def score_time(rows: pd.DataFrame, t: int | None = None) -> int | None:
    """The diffusion time at which R and R2 are read: `t` where they are there, else the largest; None without any.

    The smaller t, the farther the training set's score is from the population's, and no network follows it there.
    """
    matches = [re.fullmatch(r"R2_t(\d+)", str(name)) for name in rows]
    have = [int(match[1]) for match in matches if match and f"R_t{match[1]}" in rows]
    return t if t in have else max(have, default=None)


def family_curves(family: Family, quality: str | None = None, loss_t: int | None = None) -> list[Curve]:
    """One curve a run, in the order of `family.runs`. Raises InputError where f_mem's columns are incomplete."""
    name = quality_column(family.rows, quality)
    time, at = loss_time(family.rows, loss_t), score_time(family.rows, loss_t)
    rows = family.rows.copy()
    if "f_mem_count" not in rows and {"f_mem", "f_mem_total"} <= set(rows):
        rows["f_mem_count"] = (rows["f_mem"] * rows["f_mem_total"]).round()
    if "f_mem_count" in rows or "f_mem" in rows:
        for needed in ("f_mem_count", "f_mem_total", "f_mem_null"):
            if needed not in rows:
                raise InputError(f"the table lacks the column {needed}, without which f_mem has no error or no null.")
    return [_curve(str(run), rows[rows["run"] == run], name, time, at) for run in family.runs["run"]]


def bias_curves(family: Family) -> list[Curve | None]:
    """The curve of p_train of each run, in the order of `family.runs`; None where the rows do not hold it."""
    return [_bias_curve(str(run), family.rows[family.rows["run"] == run]) for run in family.runs["run"]]


def observed(curve: Curve) -> Draws:
    """The curve alone, B = 0."""
    return _draw(curve, None, 0, 0)


def resample(family: Family, curves: list[Curve], n_boot: int, seed: int) -> list[Draws]:
    """`n_boot` resampled copies of every curve, dependent between steps and runs as the samples are."""
    weights: dict[int, NDArray[np.float32]] = {}
    drawn = []
    for curve in curves:
        counts, notes = _paired_counts(family, curve, n_boot, seed, weights)
        drawn.append(_draw(curve, counts, n_boot, seed, notes))
    return drawn


def where_quality(curve: Curve, draws: Draws) -> tuple[Curve, Draws]:
    """The curve at the points that have a quality, and its copies there."""
    if curve.quality is None or not np.isnan(curve.quality).any():
        return curve, draws
    have = ~np.isnan(curve.quality)

    def taken(values: Array | None) -> Array | None:
        return None if values is None else values[..., have]

    points: dict[str, Any] = {name: taken(getattr(curve, name)) for name in PER_POINT}
    return (
        replace(curve, step=curve.step[have], **points),
        replace(draws, count=taken(draws.count), quality=taken(draws.quality), low=taken(draws.low)),
    )


def _curve(run: str, rows: pd.DataFrame, quality: str | None, loss_t: int | None, score_t: int | None) -> Curve:
    def column(name: str | None, *, gaps: bool = False) -> Array | None:
        if name is None or name not in rows or (rows[name].isna().all() if gaps else rows[name].isna().any()):
            return None
        return rows[name].to_numpy(np.float64)

    null: tuple[float, float] | float | None = None
    null_count, null_total, null_share = (column(f"f_mem_null{end}") for end in ("_count", "_total", ""))
    if null_count is not None and null_total is not None:
        null = (float(null_count.mean()), float(null_total.mean()))
    elif null_share is not None:
        null = float(null_share.mean())
    value, low, high = (column(quality and f"{quality}{end}", gaps=True) for end in ("", "_low", "_high"))
    ends = bookends(rows, quality)
    if higher_is_better(quality or ""):
        value, low, high = (None if part is None else 1 - part for part in (value, high, low))
        ends = {name: 1 - end for name, end in ends.items()}
    if value is not None and not may_be_negative(str(quality)) and (value <= 0).any():
        step = rows["step"].to_numpy()[value <= 0][0]
        raise InputError(
            f"{quality} of run {run} is not positive at step {step}: times of quality need a distance above 0."
        )
    return Curve(
        run=run,
        step=rows["step"].to_numpy(np.int64),
        count=column("f_mem_count"),
        total=column("f_mem_total"),
        null=null,
        measure=quality,
        bookends=ends,
        quality=value,
        quality_low=low,
        quality_high=high,
        loss_train=column(f"loss_train_t{loss_t}"),
        loss_test=column(f"loss_test_t{loss_t}"),
        loss_t=loss_t,
        score_apart=column(f"R_t{score_t}"),
        score_lean=column(f"R2_t{score_t}"),
        score_t=score_t,
    )


def _bias_curve(run: str, rows: pd.DataFrame) -> Curve | None:
    needed = ["p_train", "p_train_low", "p_train_high", "p_train_null"]
    if not set(needed) <= set(rows) or (rows := rows.dropna(subset=needed)).empty:
        return None
    share, low, high, nulls = (rows[name].to_numpy(np.float64) for name in needed)
    total = effective_size(share, low, high)
    mean = float(nulls.mean())
    ends = [rows[name].mean() if name in rows else np.nan for name in ("p_train_null_low", "p_train_null_high")]
    size = float(effective_size(mean, *ends)) if np.isfinite(ends).all() else None
    null = mean if size is None else (mean * size, size)
    step = rows["step"].to_numpy(np.int64)
    return Curve(run=run, step=step, count=share * total, total=total, null=null, share="p_train")


def _draw(curve: Curve, paired: Array | None, n_boot: int, seed: int, notes: tuple[str, ...] = ()) -> Draws:
    rng = np.random.default_rng([seed, zlib.crc32(curve.run.encode())])
    count = null = quality = low = None
    if curve.count is not None and curve.total is not None:
        share, total = curve.count / curve.total, curve.total
        fit = isotonic(without_excursions(share, total), total)
        shares = None if paired is None else paired / total
        count = np.vstack([curve.count, total * copies_of(curve.step, share, fit, total, shares, n_boot, rng)])
    if isinstance(curve.null, tuple):
        of, size = curve.null
        null = np.concatenate([[of / size], rng.binomial(round(size), of / size, size=n_boot) / round(size)])
    elif curve.null is not None:
        null = np.full(1 + n_boot, curve.null)
    if curve.quality is not None:
        quality, low = _quality_copies(curve, n_boot, rng)
        if curve.quality_low is not None:
            low[0] = np.where(np.isnan(curve.quality_low), curve.quality, curve.quality_low)
    return Draws(count, null, quality, low, n_boot, notes)


def _quality_copies(curve: Curve, n_boot: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Copies of quality and of the lower end of its intervals, each [1 + B, K]: additive where it may be negative."""
    assert curve.quality is not None
    if may_be_negative(curve.measure or ""):
        error = _error(curve)
        quality = curve.quality + _quality_noise(curve.step, curve.quality, error, n_boot, rng)
        return quality, quality - Z * error
    error = _log_error(curve)
    quality = curve.quality * np.exp(_quality_noise(curve.step, np.log(curve.quality), error, n_boot, rng))
    return quality, quality * np.exp(-Z * error)


def _quality_noise(step: NDArray[np.int64], value: Array, error: Array, n_boot: int, rng: np.random.Generator) -> Array:
    """Noise [1 + B, K] of `value` [K]: sampling with standard `error` [K], shared along the curve, and jitter.

    Zero for the observed curve in front, and where the rows hold no error, from which jitter could be told apart.
    """
    noise = np.zeros((1 + n_boot, len(error)))
    if error.any():
        known = (step > 0) & ~np.isnan(value)
        apart = np.full((n_boot, int(known.sum())), np.nan)
        variance = jitter(np.log(step[known]), value[known], error[known] ** 2, apart, rng)
        own = np.sqrt(variance)[:, None] * rng.standard_normal((n_boot, len(error)))
        noise[1:] = rng.standard_normal((n_boot, 1)) * error + own
    return noise


def _error(curve: Curve) -> Array:
    """Standard error of quality [K] from the 95% interval; zero where the rows hold none."""
    assert curve.quality is not None
    if curve.quality_low is None or curve.quality_high is None:
        return np.zeros_like(curve.quality)
    error: Array = np.nan_to_num((curve.quality_high - curve.quality_low) / (2 * Z))
    return error


def _log_error(curve: Curve) -> Array:
    """Standard error of log quality [K] from the 95% interval; zero where the rows hold none."""
    assert curve.quality is not None
    if curve.quality_low is None or curve.quality_high is None:
        return np.zeros_like(curve.quality)
    upper = np.log(np.maximum(curve.quality_high, curve.quality) / curve.quality)
    # a jackknife interval is symmetric and may reach below zero, where only its upper half has a logarithm
    positive = curve.quality_low > 0
    lower = np.log(curve.quality / np.where(positive, np.minimum(curve.quality_low, curve.quality), curve.quality))
    error: Array = np.where(positive, (upper + lower) / 2, upper) / Z
    return np.nan_to_num(error)


def _paired_counts(
    family: Family, curve: Curve, n_boot: int, seed: int, weights: dict[int, NDArray[np.float32]]
) -> tuple[Array | None, tuple[str, ...]]:
    """Counts [B, K] under shared noise indices, NaN at steps whose samples are not stored."""
    if curve.count is None or curve.total is None or n_boot == 0:
        return None, ()
    counts = np.full((n_boot, len(curve.step)), np.nan)
    notes = []
    for place, step in enumerate(curve.step):
        counted = _counted(family, curve, int(step))
        if counted is None:
            continue
        size, unit = len(counted), curve.total[place] / len(counted)
        if not np.isclose(counted.sum() * unit, curve.count[place], rtol=1e-6, atol=1e-6):
            notes.append(f"the samples stored at step {step} are not those of its row: their pairing is not used")
            continue
        if size not in weights:
            weights[size] = pair_weights(size, n_boot, np.random.default_rng([seed, size]))
        counts[:, place] = weights[size] @ np.append(counted, 1).astype(np.float32) * unit
    return counts, tuple(notes)


def _counted(family: Family, curve: Curve, step: int) -> NDArray[Any] | None:
    """What each stored sample [M] adds to the count: of f_mem whether it is memorized, of p_train its own."""
    if curve.share == "p_train":
        return family.own(curve.run, step)
    ratios = family.ratios(curve.run, step)
    return None if ratios is None else ratios < _threshold(family, curve.run)


def _threshold(family: Family, run: str) -> float:
    """k of a run: its setting, or what that was calibrated to."""
    k = family.settings(run).get("eval.k", K)
    return float(family.rows[family.rows["run"] == run][THRESHOLD].iloc[0]) if isinstance(k, str) else float(k)
