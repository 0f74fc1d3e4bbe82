"""What an intervention does to the window [τ_gen, τ_bias], beside the same network that just stops earlier.

Each arm has runs that are paired with the control's by subset (data.index), n and W. ESTIMANDS, of a pair:

    tau_gen     log τ_gen, arm less control: later, or slower
    tau_bias    log τ_bias
    window      log (τ_bias / τ_gen): wider, or only moved
    p_train     p_train at equal quality (`matched`): nearer to the training images, or not, for what it is worth
    f_mem       f_mem at equal quality; unknown where neither run has copied anything yet
    gap         the gap of losses at equal test loss, in the same way, with noise that both share: the sharpest of them

An intervention that only slows everything down has tau_gen and tau_bias above 0 and the others at 0; one that widens
the window has `window` above 0, or `p_train` and `gap` below. Times are read at one level of quality common to all
arms, and one that was not reached leaves a bound in the place of a difference. Effects and intervals come from the
design of replicates (`blocks`); p-values are Holm's over the arms of one estimand, without the placebo.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from diffmem.definitions import as_distance
from diffmem.errors import InputError

from ..tables.family import Family
from ..times.curves import Curve, bias_curves, family_curves
from ..times.family import family_times
from ..times.level import common_level
from .blocks import compare
from .matched import Array, Course, matched

CONTROL, PLACEBO = "control", "placebo"
TIMES = ("tau_gen", "tau_bias", "window")  # differences of logarithms
ESTIMANDS = (*TIMES, "p_train", "f_mem", "gap")
CELL = ["index", "n", "width"]
SETTLED = 0.02  # of the fall of the test loss: the margin of its best
LATER = "_control"


@dataclass(frozen=True)
class Effects:
    """`table`: a row an arm and estimand; `pairs`: a row a pair of runs and estimand; `level` of quality, for times."""

    table: pd.DataFrame
    pairs: pd.DataFrame
    level: float


def effects(arms: Mapping[str, Family], quality: str | None = None) -> Effects:
    """The effects of `arms` beside the one called `control`; `quality` names its measure.

    `pairs` has arm, CELL, estimand, `difference` and `bound`: where a time of the arm was not reached, what the
    difference lies above. `table` has arm, estimand, the columns of `blocks.compare` and `bound`: of an arm with such
    pairs, the mean of differences and bounds, in place of its effect. Raises InputError for arms without a control, or
    without a pair.
    """
    if CONTROL not in arms:
        raise InputError(f"the arms are {', '.join(arms)}: one of them must be called {CONTROL}.")
    curves = [curve for family in arms.values() for curve in family_curves(family, quality)]
    level = common_level(curves).value
    runs = {arm: _runs(family, quality, as_distance(curves[0].measure, level)) for arm, family in arms.items()}
    pairs = pd.DataFrame(
        [pair for arm, found in runs.items() if arm != CONTROL for pair in _pairs(arm, found, runs[CONTROL])],
        columns=["arm", *CELL, "estimand", "difference", "bound"],
    )
    if pairs.empty:
        raise InputError(f"no run of an arm has one of the {CONTROL} beside it, of the same data.index, n and width.")
    tables = [_compared(estimand, pairs[pairs["estimand"] == estimand]) for estimand in ESTIMANDS]
    return Effects(pd.concat(tables, ignore_index=True), pairs, float(as_distance(curves[0].measure, level)))


def _runs(family: Family, quality: str | None, level: float) -> pd.DataFrame:
    """A row a run: its times, and its courses, by the estimand that is read off them."""
    times = family_times(family, n_boot=0, quality=quality, level=None if math.isnan(level) else level)
    curves = family_curves(family, quality)
    leans = bias_curves(family)
    courses = [_courses(curve, lean) for curve, lean in zip(curves, leans, strict=True)]
    return times.assign(courses=pd.Series(courses, dtype=object))


def _courses(curve: Curve, lean: Curve | None) -> dict[str, Course]:
    """Quality and cost along a run; what it did not measure is absent."""
    costs: dict[str, tuple[Array, float, Array]] = {}
    if curve.quality is not None and not np.isnan(curve.quality).all():
        best = int(np.nanargmin(curve.quality))
        margin = 0.0 if curve.quality_high is None else float(curve.quality_high[best] - curve.quality[best])
        if lean is not None and lean.count is not None and lean.total is not None:
            share = pd.Series(lean.count / lean.total, index=lean.step).reindex(curve.step)
            costs["p_train"] = curve.quality, margin, np.asarray(share, dtype=np.float64)
        if curve.count is not None and curve.total is not None:
            costs["f_mem"] = curve.quality, margin, curve.count / curve.total
    if curve.loss_train is not None and curve.loss_test is not None:
        fall = float(curve.loss_test.max() - curve.loss_test.min())
        costs["gap"] = curve.loss_test, SETTLED * fall, curve.loss_test - curve.loss_train
    found = {}
    for name, (quality, margin, cost) in costs.items():
        known = (curve.step > 0) & ~np.isnan(quality) & ~np.isnan(cost)
        if known.sum() >= 2:
            found[name] = Course(curve.step[known].astype(np.float64), quality[known], cost[known], margin)
    return found


def _pairs(arm: str, runs: pd.DataFrame, control: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    both = runs.merge(control, on=CELL, suffixes=("", LATER))
    for pair in both.to_dict("records"):
        for estimand in ESTIMANDS:
            yield (arm, *(pair[key] for key in CELL), estimand, *_difference(estimand, pair))


def _difference(estimand: str, pair: Mapping[Any, Any]) -> tuple[float, float]:
    """The difference of a pair, and what it lies above where it is not known; NaN for either that there is not."""
    if estimand not in TIMES:
        ours, theirs = (pair[f"courses{end}"].get(estimand) for end in ("", LATER))
        known = ours is not None and theirs is not None
        return (matched(ours, theirs).difference if known else math.nan), math.nan
    (ours, reached), (theirs, known) = (_log_time(estimand, pair, end) for end in ("", LATER))
    difference = ours - theirs if known else math.nan
    return (difference, math.nan) if reached else (math.nan, difference)


def _log_time(estimand: str, pair: Mapping[Any, Any], end: str) -> tuple[float, bool]:
    """The logarithm of a time, or of what it lies above, and whether it was reached; of the window, of its ratio."""
    if estimand == "window":
        (gen, known), (bias, reached) = (_log_time(name, pair, end) for name in ("tau_gen", "tau_bias"))
        return (bias - gen if known else math.nan), known and reached
    if pair.get(f"{estimand}_status{end}") == "reached":
        return math.log(pair[f"{estimand}{end}"]), True
    below = pair.get(f"{estimand}_status{end}") == "right"
    return (math.log(pair[f"{estimand}_bound{end}"]) if below else math.nan), False


def _compared(estimand: str, pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows of one estimand."""
    wide = pairs.pivot(index="arm", columns=CELL, values="difference").reindex(pairs["arm"].unique())
    least = pairs.assign(least=pairs["difference"].fillna(pairs["bound"])).groupby("arm")["least"].mean()
    open_ = pairs["bound"].notna().groupby(pairs["arm"]).any()
    wide[open_.reindex(wide.index)] = np.nan
    if estimand == "f_mem" and not wide.any(axis=None):
        wide[:] = np.nan
    table = compare(wide, untested=(PLACEBO,)).table.assign(bound=least.where(open_))
    return table.rename_axis("arm").reset_index().assign(estimand=estimand)
