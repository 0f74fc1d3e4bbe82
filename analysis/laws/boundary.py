"""The boundary n*(W, step) of the phase diagram: below it runs memorize by `step`, above they do not.

n* is the n at which τ_mem = step. At each W, log τ_mem is fitted over n by the non-decreasing medians g(n); n* is where
g passes log step, linearly in log n between two neighbouring n. Where g is known on one side only (censored on the
other) n* has the two n around it and no number; where all known n lie on one side it has a bound.

The interval refits g to times drawn anew with the law's scatter, its own uncertainty included (σ² dof / χ²_dof): what
runs of one n (W, seed) share is drawn once for them, and what they do not for each run. Where no law was fitted the
interval is the pair of neighbouring n.

N runs of one width, K values of n, B copies; arrays [1 + B, ...] have the observed times in front.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .components import ALONE
from .tobit import Array

Flags = NDArray[np.bool_]


class _Row(NamedTuple):
    """A row of `phase_boundary.csv`: see `boundary`."""

    step: int
    width: int
    n_star: float
    low: float
    high: float
    status: Literal["bracketed", "between", "above", "below", "unknown"]


class _Place(NamedTuple):
    """n* lies from `low` to `high`, which agree where it has a number; its interval is `drawn_low` to `drawn_high`."""

    low: float
    high: float
    drawn_low: float
    drawn_high: float

    def not_before(self, earlier: "_Place") -> "_Place":
        """The place, with no end of it below that of an `earlier` step."""
        return _Place(*map(max, self, earlier))

    def row(self, step: int, width: int) -> _Row:
        if self.low == self.high:
            return _Row(step, width, self.low, self.drawn_low, self.drawn_high, "bracketed")
        status: Literal["between", "above", "below"] = "between"
        if self.low == 0:
            status = "below"
        elif np.isinf(self.high):
            status = "above"
        return _Row(step, width, np.nan, self.low, self.high, status)


class _Passing(NamedTuple):
    """n* lies from low to high [1 + B], which agree where it has a number; `around` it are the two n observed."""

    low: Array
    high: Array
    around: tuple[float, float]


class NonDecreasing(NamedTuple):
    """g at one width: log τ_mem [1 + B, K] over the K values of n whose phase is known; ±inf where censored."""

    n: Array
    g: Array


def boundary(
    times: pd.DataFrame, steps: Sequence[int], law: Mapping[str, Any], n_boot: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """n*(W, step) at every width and step: the contents of `phase_boundary.csv`.

    `law` is that of tau_mem in `laws.json`. Columns: step, width, n_star, low, high, status. `status` is "bracketed"
    (n_star with its 95% interval; an end is 0 or inf where it lies outside the runs), "between" (n* lies from low to
    high), "above" (n* >= low), "below" (n* <= high) or "unknown". n_star is NaN unless bracketed, and rises with step.
    """
    rng = np.random.default_rng(seed)
    rows: list[_Row] = []
    copies = _copies(times, law, n_boot, rng)
    for width, runs in times.groupby("width"):
        at = (times["width"] == width).to_numpy()
        rows += _of_width(width, runs, sorted(steps), copies[:, at])
    return pd.DataFrame(rows, columns=_Row._fields).sort_values(["step", "width"], kind="stable", ignore_index=True)


def boundary_words(row: Mapping[Any, Any]) -> str:
    """n* in words: `41 [33, 52]`, `between 32 and 64`, `>= 256`, `<= 16`, `unknown`."""
    low, high = f"{row['low']:,.0f}", f"{row['high']:,.0f}"
    open_low, open_high = f"<= {high}", f">= {low}"
    words = {"between": f"between {low} and {high}", "above": open_high, "below": open_low, "unknown": "unknown"}
    if row["status"] != "bracketed":
        return words[row["status"]]
    return f"{row['n_star']:,.0f} [{'below the runs' if row['low'] == 0 else low}, " + (
        "beyond the runs]" if np.isinf(row["high"]) else f"{high}]"
    )


def is_past(times: pd.DataFrame, name: str, step: int) -> tuple[Flags, Flags]:
    """Whether each run is known to be past the time `name` at `step`, and whether it is known not to be: [N] twice."""
    status, tau, end = times[f"{name}_status"], times[name], times[f"{name}_last_step"]
    past = ((status == "reached") & (tau <= step)) | ((status == "left") & (end <= step))
    before = ((status == "reached") & (tau > step)) | ((status == "right") & (end >= step))
    return past.to_numpy(), before.to_numpy()


def is_known(runs: pd.DataFrame, step: int) -> Flags:
    past, before = is_past(runs, "tau_mem", step)
    return past | before


def log_tau(runs: pd.DataFrame) -> Array:
    """log τ_mem [N]; inf where right-, -inf where left-censored."""
    status = runs["tau_mem_status"].to_numpy()
    value = np.log(np.where(status == "reached", runs["tau_mem"], 1.0))
    return np.select([status == "right", status == "left"], [np.inf, -np.inf], value)


def non_decreasing(n: NDArray[np.int64], log_tau: Array) -> NonDecreasing:
    """The non-decreasing medians of log τ over n, for `n` [N] and `log_tau` [1 + B, N].

    Source: Robertson and Wright 1980, "Algorithms in order restricted statistical inference and the Cauchy mean value
    property": at n_i the largest over j <= i of the least median of the runs at n_j to n_k over k >= i.
    """
    order = np.argsort(n, kind="stable")
    distinct, first = np.unique(n[order], return_index=True)
    ends = [*first[1:], len(n)]
    values = log_tau[:, order]
    g = np.full((len(values), len(distinct)), -np.inf)
    for j in range(len(distinct)):
        pooled = np.stack([_median(values[:, first[j] : end]) for end in ends[j:]], axis=1)
        least = np.minimum.accumulate(pooled[:, ::-1], axis=1)[:, ::-1]
        np.maximum(g[:, j:], least, out=g[:, j:])
    return NonDecreasing(distinct.astype(np.float64), g)


def _of_width(width: Any, runs: pd.DataFrame, steps: Sequence[int], copies: Array) -> list[_Row]:
    """The boundary of the `runs` of one width at ascending `steps`; `copies` [1 + B, N] are their log τ_mem."""
    fits: dict[bytes, NonDecreasing] = {}
    last = _Place(0.0, 0.0, 0.0, 0.0)  # runs that end between two steps must not take the boundary back
    rows = []
    for step in steps:
        known = is_known(runs, step)
        if not known.any():
            rows.append(_Row(step, width, np.nan, np.nan, np.nan, "unknown"))
            continue
        fit = fits.setdefault(known.tobytes(), non_decreasing(runs["n"].to_numpy()[known], copies[:, known]))
        passing = _passing(fit, float(np.log(step)))
        last = _Place(float(passing.low[0]), float(passing.high[0]), *_interval(passing)).not_before(last)
        rows.append(last.row(step, width))
    return rows


def _copies(times: pd.DataFrame, law: Mapping[str, Any], n_boot: int, rng: np.random.Generator) -> Array:
    """log τ_mem and its copies under the law's scatter [1 + B, N]; B = 0 where there is no law."""
    observed = log_tau(times)[None]
    if "scatter" not in law:
        return observed
    error = np.zeros((n_boot, len(times)))
    for factor, size in law["components"].items():
        label = np.unique(times[factor], return_inverse=True)[1] if factor != ALONE else np.arange(len(times))
        error += size * rng.standard_normal((n_boot, int(label.max()) + 1))[:, label]
    return np.vstack([observed, observed + np.sqrt(law["dof"] / rng.chisquare(law["dof"], size=(n_boot, 1))) * error])


def _median(values: Array) -> Array:
    """The median of each row; between -inf and inf there is none, and it counts as not reached."""
    ordered = np.sort(values, axis=1)
    size = values.shape[1]
    low, high = ordered[:, (size - 1) // 2], ordered[:, size // 2]
    return np.where(np.isfinite(low) | (low == high), low / 2 + high / 2, high)


def _passing(fit: NonDecreasing, log_step: float) -> _Passing:
    """Where g passes `log_step`, for each copy."""
    n, g = fit
    place = (g <= log_step).sum(axis=1)  # g does not fall, so these come first
    padded = np.concatenate([[0.0], n, [np.inf]])
    low, high = padded[place], padded[place + 1]
    around = (float(low[0]), float(high[0]))
    inside = np.flatnonzero((place > 0) & (place < len(n)))
    before, after = g[inside, place[inside] - 1], g[inside, place[inside]]
    inside, before, after = (part[np.isfinite(before) & np.isfinite(after)] for part in (inside, before, after))
    share = (log_step - before) / (after - before)
    low[inside] = high[inside] = np.exp((1 - share) * np.log(low[inside]) + share * np.log(high[inside]))
    return _Passing(low, high, around)


def _interval(passing: _Passing) -> tuple[float, float]:
    """95% of the copies, or the neighbouring n where there are none."""
    low, high, around = passing
    if len(low) == 1:
        return around
    return float(np.quantile(low[1:], 0.025, method="lower")), float(np.quantile(high[1:], 0.975, method="higher"))
