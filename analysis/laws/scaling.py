"""Power laws of training times, with censored runs kept as such.

    log τ = log C + α log n + β log W + σ z,   z ~ N(0, 1)

A time known only to lie beyond a step counts with the probability that it does (Tobin 1958): see `tobit`.

The interval is α ± q s, q Student's quantile with N - k degrees of freedom, N the reached runs and k the coefficients.
From 8 reached runs on, s is the spread of resamples of whole runs, below that it comes from the observed information,
both times sqrt(N / (N - k)) for small samples. On planted laws with 3 to 36 reached runs, up to half of the family
censored, it covers 0.94 to 0.98; the percentile interval of the same resamples covers 0.88 to 0.93.

B resamples, N runs, k coefficients.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtr, stdtrit

from diffmem.errors import InputError

from .tobit import SHARPEST, Array, fit_tobit, outer

Z = float(ndtri(0.975))
FEW = 8  # reached runs from which the interval comes from resampling
CENSORING = {"reached": 0, "right": 1, "left": -1}


class LawRefused(ValueError):
    """Too little to fit a law on. `n_runs`, `n_reached` and the `distinct_n` of the reached runs are what there is."""

    def __init__(self, message: str, *, n_runs: int, n_reached: int, distinct_n: Sequence[float]) -> None:
        super().__init__(message)
        self.n_runs = n_runs
        self.n_reached = n_reached
        self.distinct_n = tuple(distinct_n)


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """τ = exp(log_c) n^alpha W^beta with 95% intervals; `scatter` is the standard deviation of log τ.

    `beta` and its interval are NaN where W does not vary. `method`: "resampled runs" or "observed information".
    """

    alpha: float
    alpha_low: float
    alpha_high: float
    beta: float
    beta_low: float
    beta_high: float
    log_c: float
    scatter: float
    p_alpha_is_one: float
    p_alpha_is_zero: float
    n_runs: int
    n_reached: int
    dof: int
    method: str


def fit_power_law(
    tau: ArrayLike,
    *,
    n: ArrayLike,
    width: ArrayLike | None = None,
    status: Sequence[str] | None = None,
    group: ArrayLike | None = None,
    n_boot: int = 2000,
    seed: int = 0,
) -> PowerLaw:
    """Fit log τ = log C + α log n + β log W to the N runs of a family, all arguments [N].

    `tau` in steps; `status` "reached", "right" or "left": the `tau` of a censored run is the step it lies beyond.
    β is fitted where `width` varies. Runs with one label of `group` err together: they are resampled together, and
    groups are counted instead of runs. Raises LawRefused where the reached runs are no more than the coefficients or
    do not tell them apart (or are in fewer than 8 groups), and InputError for values that have no logarithm.
    Source: Tobin 1958, "Estimation of relationships for limited dependent variables"; Olsen 1978.
    """
    y, x, censored = design(tau, n, width, status)
    runs, k = x.shape
    units = np.arange(runs) if group is None else np.unique(np.asarray(group), return_inverse=True)[1]
    reached = censored == 0
    distinct = sorted(set(np.asarray(n, dtype=np.float64)[reached]))
    n_reached, n_units = int(reached.sum()), len(set(units[reached]))
    why = _why_refused(x, reached, distinct)
    if group is not None and n_units < FEW:
        why = why or f"the {n_reached} runs that reached it are in {n_units} groups, and resampling needs {FEW}"
    if why:
        raise LawRefused(why, n_runs=runs, n_reached=n_reached, distinct_n=distinct)
    centre, middle = x.mean(axis=0), y.mean()
    centre[0] = 0.0
    x = x - centre
    y = y - middle
    coefficients, sigma, covariance = fit_tobit(x, y, censored, np.ones((1, runs)))
    dof = n_units - k
    small = n_units / dof
    error, method = np.sqrt(covariance[0].diagonal() * small), "observed information"
    if n_units >= FEW:
        resampled = _resampled_error(x, y, censored, units, n_boot, seed)
        if resampled is not None:
            error, method = resampled * np.sqrt(small), "resampled runs"
        elif group is not None:
            why = "too few resamples of the groups tell the coefficients apart"
            raise LawRefused(why, n_runs=runs, n_reached=n_reached, distinct_n=distinct)
    b, error = coefficients[0], np.maximum(error, 1e-3 / SHARPEST)  # an exact law has rounding for an error
    half = float(stdtrit(dof, 0.975)) * error
    p_one, p_zero = (float(2 * stdtr(dof, -abs(b[1] - at) / error[1])) for at in (1.0, 0.0))
    with_width = k == 3
    return PowerLaw(
        alpha=float(b[1]),
        alpha_low=float(b[1] - half[1]),
        alpha_high=float(b[1] + half[1]),
        beta=float(b[2]) if with_width else np.nan,
        beta_low=float(b[2] - half[2]) if with_width else np.nan,
        beta_high=float(b[2] + half[2]) if with_width else np.nan,
        log_c=float(b[0] + middle - b[1:] @ centre[1:]),
        scatter=float(sigma[0] * np.sqrt(n_reached / (n_reached - k))),
        p_alpha_is_one=p_one,
        p_alpha_is_zero=p_zero,
        n_runs=runs,
        n_reached=n_reached,
        dof=dof,
        method=method,
    )


def design(
    tau: ArrayLike, n: ArrayLike, width: ArrayLike | None, status: Sequence[str] | None
) -> tuple[Array, Array, NDArray[np.int64]]:
    """log τ [N], the design [N, k] and the censoring [N]."""
    columns = {"tau": np.asarray(tau, dtype=np.float64), "n": np.asarray(n, dtype=np.float64)}
    if width is not None:
        columns["width"] = np.asarray(width, dtype=np.float64)
    for name, values in columns.items():
        bad = ~(np.isfinite(values) & (values > 0))
        if bad.any():
            raise InputError(
                f"{name}={values[bad][0]} has no logarithm: give numbers above 0, and for a censored run the step its "
                "time lies beyond."
            )
    words = ["reached"] * len(columns["tau"]) if status is None else list(status)
    for word in words:
        if word not in CENSORING:
            raise InputError(f"status={word!r} of a run is not one of {', '.join(CENSORING)}: leave such runs out.")
    parts = [np.ones(len(words)), np.log(columns["n"])]
    if width is not None and len(set(columns["width"])) > 1:
        parts.append(np.log(columns["width"]))
    return np.log(columns["tau"]), np.column_stack(parts), np.array([CENSORING[word] for word in words])


def identified(x: Array, reached: NDArray[np.bool_], weight: Array) -> NDArray[np.bool_]:
    """Whether the reached runs of each weighting are more than k and tell the k coefficients apart: [B]."""
    used = (weight > 0) & reached
    scaled = np.column_stack([x[:, :1], (x[:, 1:] - x[:, 1:].mean(axis=0)) / np.maximum(x[:, 1:].std(axis=0), 1e-12)])
    gram = np.tensordot(used.astype(np.float64), outer(scaled), axes=1)
    apart = np.linalg.eigvalsh(gram)[:, 0] > 1e-9 * len(x)
    return (used.sum(axis=1) > x.shape[1]) & apart


def _why_refused(x: Array, reached: NDArray[np.bool_], distinct: Sequence[float]) -> str:
    """Why the reached runs are too little for the k coefficients; empty where they are enough."""
    (runs, k), n_reached = x.shape, int(reached.sum())
    if n_reached <= k:
        return f"{n_reached} of {runs} runs reached it, and a law of {k} coefficients needs {k + 1}"
    if identified(x, reached[None], np.ones((1, runs)))[0]:
        return ""
    along = " and widths that vary along with n" if k == 3 and len(distinct) > 1 else ""
    return (
        f"the {n_reached} runs that reached it have {len(distinct)} distinct n{along}, which leaves the exponents open"
    )


def _resampled_error(
    x: Array, y: Array, censored: NDArray[np.int64], units: NDArray[np.int64], n_boot: int, seed: int
) -> Array | None:
    """Standard errors [k] from resampling whole units [N]; None where too few resamples identify the law."""
    count = int(units.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=n_boot)
    weight = drawn[:, units].astype(np.float64)
    weight = weight[identified(x, (censored == 0)[None], weight)]
    if n_boot < 2 or len(weight) < 0.9 * n_boot:
        return None
    b, _, _ = fit_tobit(x, y, censored, weight)
    # the spread between quantiles: a few resamples that hardly identify the law have wild exponents
    low, high = np.quantile(b, [0.025, 0.975], axis=0)
    error: Array = (high - low) / (2 * Z)
    return error
