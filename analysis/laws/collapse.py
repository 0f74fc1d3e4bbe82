"""Data collapse: the scaled time τ / (n^α W^β) in which the curves f_mem(τ) of all n and W fall together best.

Curves are compared at equal height. Where the rise y = (f_mem - null) / (1 - null) of run i passes level l,

    log τ_i(l) = log g(l) + α log n_i + β log W_i + σ z,   z ~ N(0, 1)

with one g for all runs: the collapsed curve, free in shape. σ, the spread of log time around it, is the score: 0 where
the curves lie on one another, 0.1 where they lie 10% apart in time. It has no scale: other units of τ, n or W move g
alone. The range of levels is common to the runs: from 0.05, where τ_mem is read, to the least height that a rising
curve ends at (0.95 at most). A run that has not come to a level counts with the probability that it takes longer, as in
`tobit`.

The interval is α ± q s, as in `scaling`: q Student's quantile with N - k degrees of freedom, N the rising runs, k the
exponents and the constant; s the spread of resamples of whole runs. Below 8 rising runs resamples are too few of a
kind, and s comes from the observed information, in which a run counts once, however many levels it is read at. Where
runs share what errs (one n, one W, one seed), a run is its mean over the levels that it passes, and s and the degrees
of freedom come from the components of those means: see `components`.

N runs, L levels, k coefficients, B resamples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, stdtrit

from diffmem.definitions import THETA
from diffmem.stats.monotone import crossing_times, isotonic

from ..tables.family import Family
from ..times.curves import Curve, family_curves, observed
from ..times.noise import log_odds
from ..times.tau_mem import NULL_LIMIT
from . import groups
from .components import coefficient_errors, estimate_censored
from .groups import LEAST, more_words
from .scaling import FEW, Z, identified
from .tobit import SHARPEST, Array, fit_tobit

LEVELS = 8


class CollapseRefused(ValueError):
    """Too few curves rise, or they do not tell the exponents apart."""


@dataclass(frozen=True, kw_only=True)
class Collapse:
    """f_mem as a function of τ / (n^alpha W^beta), with 95% intervals; β is NaN where W does not vary.

    `score` is the standard deviation of log scaled time at equal rise, over levels from `level_low` to `level_high`;
    `n_rising` of `n_runs` curves rise. `method`: "resampled runs", "observed information" or "variance components".
    """

    alpha: float
    alpha_low: float
    alpha_high: float
    beta: float
    beta_low: float
    beta_high: float
    score: float
    level_low: float
    level_high: float
    n_runs: int
    n_rising: int
    method: str


def fit_collapse(
    curves: Sequence[Curve],
    *,
    n: ArrayLike,
    width: ArrayLike,
    factors: Mapping[str, ArrayLike] | None = None,
    n_boot: int = 2000,
    seed: int = 0,
) -> Collapse:
    """Collapse N curves of f_mem; `n`, `width` [N]. β is fitted where `width` varies.

    `factors` are labels [N] by name: runs with one label err together. Raises CollapseRefused where the curves that
    rise are no more than the coefficients or leave the exponents or their intervals open.
    Source: Bhattacharjee and Seno 2001, "A measure of data collapse for scaling", with the spread taken along time.
    """
    runs = np.column_stack([np.ones(len(curves)), np.log(np.asarray(n, dtype=np.float64))])
    if len(set(np.asarray(width).tolist())) > 1:
        runs = np.column_stack([runs, np.log(np.asarray(width, dtype=np.float64))])
    rises = [_rise(curve) for curve in curves]
    rising = np.array([rise[0] < THETA <= rise[-1] for rise in rises], dtype=bool)
    if why := _why_refused(runs, rising, factors or {}):
        raise CollapseRefused(why)
    top = min(rise[-1] for rise, passes in zip(rises, rising, strict=True) if passes)
    level = expit(np.linspace(logit(THETA), logit(min(top, 1 - THETA)), LEVELS))
    y, censored = _passing_times(curves, rises, level)  # [N L]
    exponents = (runs[:, 1:] - runs[:, 1:].mean(axis=0))[np.repeat(np.arange(len(curves)), LEVELS)]
    x = np.column_stack([np.tile(np.eye(LEVELS), (len(curves), 1)), exponents])
    data = _Passings(x, y - y.mean(), censored, runs, rising)
    b, sigma, information = fit_tobit(x, data.y, censored, np.full((1, len(y)), 1 / LEVELS))
    n_rising, k = int(rising.sum()), runs.shape[1]
    small = math.sqrt(n_rising / (n_rising - k))
    if factors:
        half, method = _shared(data, b[0], factors), "variance components"
    else:
        error, method = _independent(data, information[0], n_boot, seed)
        half = float(stdtrit(n_rising - k, 0.975)) * small * np.maximum(error, 1e-3 / SHARPEST)
    if factors and "width" in factors and k == 3 and len(set(runs[rising, 2])) < LEAST:
        half[-1] = np.nan
    alpha, beta = b[0, LEVELS], b[0, -1] if k == 3 else np.nan
    return Collapse(
        alpha=float(alpha),
        alpha_low=float(alpha - half[0]),
        alpha_high=float(alpha + half[0]),
        beta=float(beta),
        beta_low=float(beta - half[-1]),
        beta_high=float(beta + half[-1]),
        score=float(sigma[0] * small),
        level_low=float(level[0]),
        level_high=float(level[-1]),
        n_runs=len(curves),
        n_rising=n_rising,
        method=method,
    )


def family_collapse(
    family: Family, quality: str | None = None, n_boot: int = 2000, seed: int = 0, group: str = "auto"
) -> dict[str, Any]:
    """The collapse of a family: the contents of `collapse.json`, with the reason under "refused" where there is none.

    `quality` is needed where the table has several measures of it; `group` says which runs err together. Raises
    InputError where f_mem's columns are incomplete, or for an unknown group.
    """
    curves = family_curves(family, quality)
    used = np.array([_usable(curve) for curve in curves])
    if not used.any():
        return {"n_runs": 0, "refused": "no run has a curve of f_mem with a null that leaves it room to rise"}
    kept = [curve for curve, use in zip(curves, used, strict=True) if use]
    runs = family.runs[used]
    try:
        fit = fit_collapse(
            kept, n=runs["n"], width=runs["width"], factors=groups.factors(runs, group), n_boot=n_boot, seed=seed
        )
    except CollapseRefused as refusal:
        return {"n_runs": len(kept), "refused": str(refusal)}
    with_width = math.isfinite(fit.beta)
    return {
        "alpha": fit.alpha,
        "low": fit.alpha_low,
        "high": fit.alpha_high,
        "beta": fit.beta if with_width else None,
        "beta_low": fit.beta_low if math.isfinite(fit.beta_low) else None,
        "beta_high": fit.beta_high if math.isfinite(fit.beta_high) else None,
        "score": fit.score,
        "level_low": fit.level_low,
        "level_high": fit.level_high,
        "n_runs": fit.n_runs,
        "n_rising": fit.n_rising,
        "method": fit.method,
    }


class _Passings(NamedTuple):
    """Log times at which runs pass levels: design [N L, L + k - 1], y and its censoring [N L], the runs [N, k]."""

    x: Array
    y: Array
    censored: NDArray[np.int64]
    runs: Array
    rising: NDArray[np.bool_]


def _independent(data: _Passings, information: Array, n_boot: int, seed: int) -> tuple[Array, str]:
    """Standard errors of the exponents [k - 1] and how they were found, where every run errs by itself."""
    number = len(data.runs)
    if data.rising.sum() >= FEW:
        drawn = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=n_boot)
        drawn = drawn[identified(data.runs, data.rising, drawn.astype(np.float64))]
        if len(drawn) >= max(0.9 * n_boot, 2):
            copies, _, _ = fit_tobit(data.x, data.y, data.censored, np.repeat(drawn, LEVELS, axis=1) / LEVELS)
            low, high = np.quantile(copies[:, LEVELS:], [0.025, 0.975], axis=0)
            return (high - low) / (2 * Z), "resampled runs"
    return np.sqrt(information.diagonal()[LEVELS:]), "observed information"


def _shared(data: _Passings, b: Array, factors: Mapping[str, ArrayLike]) -> Array:
    """Half the interval of the exponents [k - 1], where runs with one label of `factors` err together.

    A run is its mean residual over the levels that it passes; one that passes none lies beyond its first.
    """
    residual = (data.y - data.x @ b).reshape(-1, LEVELS)
    passed = (data.censored == 0).reshape(-1, LEVELS)
    none = ~passed.any(axis=1)
    mean = np.where(passed, residual, 0.0).sum(axis=1) / np.maximum(passed.sum(axis=1), 1)
    mean = np.where(none, residual[:, 0], mean)
    side = np.where(none, data.censored.reshape(-1, LEVELS)[:, 0], 0)
    x = data.runs - np.append(0.0, data.runs[:, 1:].mean(axis=0))
    start, sigma, _ = fit_tobit(x, mean, side, np.ones((1, len(mean))))
    _, weight, parts = estimate_censored(x, mean, side, start[0], float(sigma[0]), factors)
    covariance, dof = coefficient_errors(x, weight, parts)
    error = np.maximum(np.sqrt(covariance.diagonal()[1:]), 1e-3 / SHARPEST)
    return np.asarray(stdtrit(dof, 0.975)[1:] * error, dtype=np.float64)


def _why_refused(runs: Array, rising: NDArray[np.bool_], factors: Mapping[str, ArrayLike]) -> str:
    """Why the `rising` of the runs [N, k] are too little for a collapse; empty where they are enough."""
    (number, k), n_rising = runs.shape, int(rising.sum())
    if n_rising <= k:
        return (
            f"{n_rising} of {number} curves rise through {THETA:g} of their range, and a collapse with {k - 1} "
            f"exponent{'s' if k > 2 else ''} needs {k + 1} that do"
        )
    distinct = np.unique(np.exp(runs[rising, 1]).round())
    if not identified(runs, rising, np.ones((1, number)))[0]:
        return (
            f"the {n_rising} curves that rise have {len(distinct)} distinct n"
            f"{' and widths that vary along with n' if k == 3 else ''}, which leaves the exponents open"
        )
    if "n" in factors and len(distinct) < LEAST:
        return f"runs of one n err together, and {len(distinct)} values of n rise: {more_words('n', distinct, 2)}"
    return ""


def _usable(curve: Curve) -> bool:
    """Whether f_mem was measured past step 0, with a null that it can rise from."""
    null = observed(curve).null
    return curve.count is not None and null is not None and bool(null[0] <= NULL_LIMIT) and bool(curve.step[-1] > 0)


def _rise(curve: Curve) -> Array:
    """(f_mem - null) / (1 - null) [K] of the weighted isotonic fit."""
    assert curve.count is not None
    assert curve.total is not None
    null = observed(curve).null
    assert null is not None
    rise: Array = (isotonic(curve.count / curve.total, curve.total) - null[0]) / (1 - null[0])
    return rise


def _passing_times(curves: Sequence[Curve], rises: Sequence[Array], level: Array) -> tuple[Array, NDArray[np.int64]]:
    """log τ at which each run passes each level, or the log of the step it lies beyond, and the censoring: [N L].

    Between two points the curve is a line in log τ and log odds, as τ_mem takes it.
    """
    times, censored = [], []
    for curve, rise in zip(curves, rises, strict=True):
        assert curve.total is not None
        least = float(curve.total.min())
        height = log_odds(np.clip(rise, 0.0, 1.0), least)
        time = crossing_times(curve.step, np.tile(height, (len(level), 1)), log_odds(level, least)).time
        side = np.where(np.isfinite(time), 0, np.sign(time)).astype(np.int64)
        first = curve.step[curve.step > 0][0]
        times.append(np.log(np.select([side > 0, side < 0], [curve.step[-1], first], time)))
        censored.append(side)
    return np.concatenate(times), np.concatenate(censored)
