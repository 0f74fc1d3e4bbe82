"""The phase diagram: at a training step, which (n, W) memorize, which generalize, which are still untrained.

    memorizing    τ_mem <= step           (absorbing: from then on the run stays so)
    generalizing  τ_gen <= step < τ_mem
    untrained     step < τ_gen, step < τ_mem

A run that ended before `step`, its f_mem unreached, is unknown there. The boundary n*(W, step) is the n at which
τ_mem = step: below it runs memorize, above they do not. At each W, log τ_mem is fitted over n by the non-decreasing
medians g(n); n* is where g passes log step, linearly in log n between two neighbouring n. Where g is known on one side
only (censored on the other) n* has the two n around it and no number; where all known n lie on one side it has a bound.

The interval refits g to times drawn anew with the law's scatter, its own uncertainty included (σ² dof / χ²_dof); where
no law was fitted it is the pair of neighbouring n.

N runs of one width, K values of n, B copies; arrays [1 + B, ...] have the observed times in front.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .tobit import Array

Flags = NDArray[np.bool_]
PHASES = ("memorizing", "generalizing", "untrained", "not memorizing", "unknown")
LEAST_N = 3


class PhaseRefused(ValueError):
    """Too few values of n, or no time, for a phase diagram."""


class Proposal(NamedTuple):
    """The (n, width) to run next, best first, and why, in one line. Nothing is chosen where n* cannot be sharpened."""

    chosen: list[tuple[int, int]]
    why: str


class _Passing(NamedTuple):
    """n* lies from low to high [1 + B], which agree where it has a number; `around` it are the two n observed."""

    low: Array
    high: Array
    around: tuple[float, float]


class _Levels(NamedTuple):
    """g at one width: log τ_mem [1 + B, K] over the K values of n whose phase is known; ±inf where censored."""

    n: Array
    g: Array


def diagram(times: pd.DataFrame, law: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`phases` and `boundary` of a family at its `round_steps`.

    Raises PhaseRefused for fewer than three values of n, or where no run reached a time.
    """
    distinct = times["n"].nunique()
    if distinct < LEAST_N:
        raise PhaseRefused(f"the runs have {distinct} distinct n, and a phase diagram needs {LEAST_N}")
    steps = round_steps(times)
    return phases(times, steps), boundary(times, steps, law)


def round_steps(times: pd.DataFrame) -> list[int]:
    """The steps 1, 2 and 5 times a power of ten, from the last before any time was reached to the end of the runs.

    Raises PhaseRefused where no run reached a time.
    """
    reached = pd.concat([times.loc[times[f"{name}_status"] == "reached", name] for name in ("tau_mem", "tau_gen")])
    if reached.empty:
        raise PhaseRefused("no run reached tau_mem or tau_gen")
    last = float(max(times["tau_mem_last_step"].max(), reached.max()))
    steps = [digit * 10**power for power in range(int(np.log10(max(last, 1))) + 1) for digit in (1, 2, 5)]
    before = [step for step in steps if step < reached.min()][-1:]
    return before + [step for step in steps if reached.min() <= step <= last]


def phases(times: pd.DataFrame, steps: Sequence[int]) -> pd.DataFrame:
    """The phase of every run at every step: the contents of `phase.csv`.

    `times` is what `family_times` returns. Columns: step, n, width, phase (one of `PHASES`), seed, run. A run known not
    to memorize whose quality says nothing is "not memorizing".
    """
    keys = times[["n", "width", "seed", "run"]]
    parts = [keys.assign(step=step, phase=_phase_at(times, step)) for step in steps]
    table = pd.concat(parts, ignore_index=True)[["step", "n", "width", "phase", "seed", "run"]]
    return table.sort_values(["step", "width", "n", "seed"], kind="stable", ignore_index=True)


def boundary(
    times: pd.DataFrame, steps: Sequence[int], law: Mapping[str, Any], n_boot: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """n*(W, step) at every width and step: the contents of `phase_boundary.csv`.

    `law` is that of tau_mem in `laws.json`. Columns: step, width, n_star, low, high, status. `status` is "bracketed"
    (n_star with its 95% interval; an end is 0 or inf where it lies outside the runs), "between" (n* lies from low to
    high), "above" (n* >= low), "below" (n* <= high) or "unknown". n_star is NaN unless bracketed, and rises with step.
    """
    rng = np.random.default_rng(seed)
    records: list[dict[str, Any]] = []
    for width, runs in times.groupby("width"):
        log_tau = _copies(runs, law, n_boot, rng)
        fits: dict[bytes, _Levels] = {}
        floor = np.zeros(4)  # runs that end between two steps must not take the boundary back
        for step in sorted(steps):
            known = _known(runs, step)
            if not known.any():
                records.append({"step": step, "width": width, "status": "unknown"})
                continue
            levels = fits.setdefault(known.tobytes(), _levels(runs["n"].to_numpy()[known], log_tau[:, known]))
            passing = _passing(levels, float(np.log(step)))
            floor = np.maximum(floor, [passing.low[0], passing.high[0], *_interval(passing)])
            records.append({"step": step, "width": width} | _described(*floor.tolist()))
    columns = ["step", "width", "n_star", "low", "high", "status"]
    return pd.DataFrame(records, columns=columns).sort_values(["step", "width"], kind="stable", ignore_index=True)


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


def propose_next(times: pd.DataFrame, candidates: Sequence[tuple[int, int]], *, step: int, number: int = 1) -> Proposal:
    """Up to `number` of the `candidates`, (n, width) not yet run, whose phase at `step` would sharpen n* most.

    At each width n* lies between the largest n known to memorize and the smallest known not to. Of the candidates in
    between the middle one halves what is open; the width with most candidates in between comes first, then the wider
    gap. Points chosen together split a gap evenly. `times` is what `family_times` returns.
    """
    gaps = [gap for width in sorted({w for _, w in candidates}) if (gap := _gap(times, candidates, width, step)).open]
    chosen: list[tuple[int, int]] = []
    reasons = []
    while gaps and len(chosen) < number:
        gap = max(gaps, key=lambda one: (len(one.open), one.log_size))
        gaps.remove(gap)
        middle = (len(gap.open) - 1) // 2
        n = gap.open[middle]
        chosen.append((n, gap.width))
        reasons.append(f"n={n} at W={gap.width} (n* {gap.words})")
        parts = [gap._replace(high=n, open=gap.open[:middle]), gap._replace(low=n, open=gap.open[middle + 1 :])]
        gaps += [part for part in parts if part.open]
    if chosen:
        return Proposal(chosen, f"at step {step:,}, in the middle of what is open: {', '.join(reasons)}")
    known = [f"n* {_gap(times, [], width, step).words} at W={width}" for width in sorted(set(times["width"]))]
    return Proposal([], f"at step {step:,}, no candidate is left that would move a boundary: {', '.join(known)}")


class _Gap(NamedTuple):
    """Where n* lies at one width, and the candidates in there, ascending."""

    width: int
    low: float
    high: float
    open: list[int]

    @property
    def log_size(self) -> float:
        low, high = self.low or min(self.open), self.high if np.isfinite(self.high) else max(self.open)
        return float(np.log(high / low))

    @property
    def words(self) -> str:
        if self.low == 0 and np.isinf(self.high):
            return "unknown"
        if self.low == 0:
            return f"<= {self.high:g}"
        return f">= {self.low:g}" if np.isinf(self.high) else f"between {self.low:g} and {self.high:g}"


def _gap(times: pd.DataFrame, candidates: Sequence[tuple[int, int]], width: int, step: int) -> _Gap:
    runs = times[times["width"] == width]
    known = _known(runs, step)
    low, high = 0.0, np.inf
    if known.any():
        levels = _levels(runs["n"].to_numpy()[known], _log_tau(runs)[None, known])
        memorizes = levels.g[0] <= np.log(step)
        low, high = max(levels.n[memorizes], default=0.0), min(levels.n[~memorizes], default=np.inf)
    inside = sorted({n for n, w in candidates if w == width and low < n < high})
    return _Gap(width, low, high, inside)


def _phase_at(times: pd.DataFrame, step: int) -> NDArray[np.str_]:
    memorizes, before_mem = _past(times, "tau_mem", step)
    good, before_gen = _past(times, "tau_gen", step)
    cases = [memorizes, before_mem & good, before_mem & before_gen, before_mem]
    return np.select(cases, PHASES[:4], PHASES[4])


def _past(times: pd.DataFrame, name: str, step: int) -> tuple[Flags, Flags]:
    """Whether each run is known to be past the time `name` at `step`, and whether it is known not to be: [N] twice."""
    status, tau, end = times[f"{name}_status"], times[name], times[f"{name}_last_step"]
    past = ((status == "reached") & (tau <= step)) | ((status == "left") & (end <= step))
    before = ((status == "reached") & (tau > step)) | ((status == "right") & (end >= step))
    return past.to_numpy(), before.to_numpy()


def _known(runs: pd.DataFrame, step: int) -> Flags:
    past, before = _past(runs, "tau_mem", step)
    return past | before


def _log_tau(runs: pd.DataFrame) -> Array:
    """log τ_mem [N]; inf where right-, -inf where left-censored."""
    status = runs["tau_mem_status"].to_numpy()
    value = np.log(np.where(status == "reached", runs["tau_mem"], 1.0))
    return np.select([status == "right", status == "left"], [np.inf, -np.inf], value)


def _copies(runs: pd.DataFrame, law: Mapping[str, Any], n_boot: int, rng: np.random.Generator) -> Array:
    """log τ_mem and its copies under the law's scatter [1 + B, N]; B = 0 where there is no law."""
    observed = _log_tau(runs)[None]
    if "scatter" not in law:
        return observed
    sigma = law["scatter"] * np.sqrt(law["dof"] / rng.chisquare(law["dof"], size=(n_boot, 1)))
    return np.vstack([observed, observed + sigma * rng.standard_normal((n_boot, observed.shape[1]))])


def _levels(n: NDArray[np.int64], log_tau: Array) -> _Levels:
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
    return _Levels(distinct.astype(np.float64), g)


def _median(values: Array) -> Array:
    """The median of each row; between -inf and inf there is none, and it counts as not reached."""
    ordered = np.sort(values, axis=1)
    size = values.shape[1]
    low, high = ordered[:, (size - 1) // 2], ordered[:, size // 2]
    return np.where(np.isfinite(low) | (low == high), low / 2 + high / 2, high)


def _passing(levels: _Levels, log_step: float) -> _Passing:
    """Where g passes `log_step`, for each copy."""
    n, g = levels
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


def _described(low: float, high: float, drawn_low: float, drawn_high: float) -> dict[str, object]:
    """n* that lies from `low` to `high`, with its drawn interval where the two agree."""
    if low == high:
        return {"n_star": low, "low": drawn_low, "high": drawn_high, "status": "bracketed"}
    status = "below" if low == 0 else "above" if np.isinf(high) else "between"
    return {"n_star": np.nan, "low": low, "high": high, "status": status}
