"""The curves of a run, y(τ), and their resampled copies: what a timescale is read off, and its uncertainty.

All checkpoints of all runs start from the same noise, so their samples are paired: where the per-sample ratios are
stored, the noise indices are drawn once and used at every step of every run. Where only counts are known, each count
is drawn from its binomial. A Fréchet distance is drawn log-normal with the width of its jackknife interval, each point
by itself, which overstates the uncertainty where neighbouring points err together.

K points of a curve, M samples, B resampled copies; arrays [1 + B, ...] have the observed curve in front.
"""

import re
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from diffmem.definitions import K, quality_column
from diffmem.errors import InputError

from ..tables.family import Family

Array = NDArray[np.float64]
Z = float(ndtri(0.975))
PER_POINT = ("count", "total", "quality", "quality_low", "quality_high", "loss_train", "loss_test")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What one run measured at its K steps. `null` is (count, total) of held-out images, or a bare fraction."""

    run: str
    step: NDArray[np.int64]  # [K]
    count: Array | None = None  # [K] memorized samples
    total: Array | None = None  # [K] samples
    null: tuple[float, float] | float | None = None
    quality: Array | None = None  # [K] positive, lower is better; NaN where it was not measured
    quality_low: Array | None = None  # [K] 95% interval
    quality_high: Array | None = None  # [K]
    loss_train: Array | None = None  # [K] ε-loss on training images at diffusion time `loss_t`
    loss_test: Array | None = None  # [K]
    loss_t: int | None = None


@dataclass(frozen=True)
class Draws:
    """A curve (row 0) and its B resampled copies. `low` is the lower end of each point's own 95% interval."""

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


def family_curves(family: Family, quality: str | None = None, loss_t: int | None = None) -> list[Curve]:
    """One curve a run, in the order of `family.runs`. Raises InputError where f_mem's columns are incomplete."""
    name = quality_column(family.rows, quality)
    time = loss_time(family.rows, loss_t)
    rows = family.rows.copy()
    if "f_mem_count" not in rows and {"f_mem", "f_mem_total"} <= set(rows):
        rows["f_mem_count"] = (rows["f_mem"] * rows["f_mem_total"]).round()
    if "f_mem_count" in rows or "f_mem" in rows:
        for needed in ("f_mem_count", "f_mem_total", "f_mem_null"):
            if needed not in rows:
                raise InputError(f"the table lacks the column {needed}, without which f_mem has no error or no null.")
    return [_curve(str(run), rows[rows["run"] == run], name, time) for run in family.runs["run"]]


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


def _curve(run: str, rows: pd.DataFrame, quality: str | None, loss_t: int | None) -> Curve:
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
    value = column(quality, gaps=True)
    if value is not None and (value <= 0).any():
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
        quality=value,
        quality_low=column(quality and f"{quality}_low", gaps=True),
        quality_high=column(quality and f"{quality}_high", gaps=True),
        loss_train=column(f"loss_train_t{loss_t}"),
        loss_test=column(f"loss_test_t{loss_t}"),
        loss_t=loss_t,
    )


def _draw(curve: Curve, paired: Array | None, n_boot: int, seed: int, notes: tuple[str, ...] = ()) -> Draws:
    rng = np.random.default_rng([seed, zlib.crc32(curve.run.encode())])
    count = null = quality = low = None
    if curve.count is not None and curve.total is not None:
        whole = curve.total.astype(np.int64)
        copies = rng.binomial(whole, curve.count / curve.total, size=(n_boot, len(whole))).astype(np.float64)
        if paired is not None:
            copies = np.where(np.isnan(paired), copies, paired)
        count = np.vstack([curve.count, copies])
    if isinstance(curve.null, tuple):
        of, total = curve.null
        null = np.concatenate([[of / total], rng.binomial(round(total), of / total, size=n_boot) / total])
    elif curve.null is not None:
        null = np.full(1 + n_boot, curve.null)
    if curve.quality is not None:
        error = _log_error(curve)
        noise = rng.standard_normal((n_boot, len(error)))
        quality = curve.quality * np.exp(np.vstack([np.zeros_like(error), noise * error]))
        low = quality * np.exp(-Z * error)
        if curve.quality_low is not None:
            low[0] = np.where(np.isnan(curve.quality_low), curve.quality, curve.quality_low)
    return Draws(count, null, quality, low, n_boot, notes)


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
    """Memorized counts [B, K] under shared noise indices, NaN at steps without stored ratios."""
    if curve.count is None or n_boot == 0:
        return None, ()
    k = float(family.settings(curve.run).get("eval.k", K))
    counts = np.full((n_boot, len(curve.step)), np.nan)
    notes = []
    for place, step in enumerate(curve.step):
        ratios = family.ratios(curve.run, int(step))
        if ratios is None:
            continue
        memorized = ratios < k
        if memorized.sum() != curve.count[place]:
            notes.append(f"the samples stored at step {step} are not those of its row: their pairing is not used")
            continue
        size = len(ratios)
        if size not in weights:
            rng = np.random.default_rng([seed, size])
            weights[size] = rng.multinomial(size, np.full(size, 1 / size), size=n_boot).astype(np.float32)
        counts[:, place] = weights[size] @ memorized.astype(np.float32)
    return counts, tuple(notes)
