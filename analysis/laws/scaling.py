"""Power laws of training times, with censored runs kept as such.

    log τ = log C + α log n + β log W + error

A time known only to lie beyond a step counts with the probability that it does (Tobin 1958): see `tobit`.

The interval of an exponent is α ± q s, q Student's quantile. Where runs err by themselves it has N - k degrees of
freedom, N the reached runs and k the coefficients; from 8 reached runs on, s is the spread of resamples of whole runs,
below that it comes from the observed information, both times sqrt(N / (N - k)) for small samples. Where runs share
what errs (one n, one W, one seed), s and the degrees of freedom come from their variance components: see `components`.
Coverage on planted families: `python -m benchmarks.coverage_laws`.

B resamples, N runs, k coefficients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtr, stdtrit

from diffmem.errors import InputError

from .components import ALONE, coefficient_errors, estimate_censored
from .groups import LEAST, more_words
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
    """τ = exp(log_c) n^alpha W^beta with 95% intervals; `scatter` is the standard deviation of log τ of a new run.

    `beta` and its interval are NaN where W does not vary; the interval alone is, where runs of one W err together and
    there are two W. `components` are the standard deviations by what runs share ("run": by themselves). `covariance`
    [k, k] is that of log C, α and β, with `dof` degrees of freedom (`dof_beta` for β). `method`: "resampled runs",
    "observed information" or "variance components".
    """

    alpha: float
    alpha_low: float
    alpha_high: float
    beta: float
    beta_low: float
    beta_high: float
    log_c: float
    scatter: float
    components: dict[str, float]
    covariance: Array
    p_alpha_is_one: float
    p_alpha_is_zero: float
    n_runs: int
    n_reached: int
    dof: float
    dof_beta: float
    method: str


class _Errors(NamedTuple):
    """How sure the coefficients are: covariance [k, k] and degrees of freedom [k]."""

    covariance: Array
    dof: Array
    components: dict[str, float]
    scatter: float
    method: str


def fit_power_law(
    tau: ArrayLike,
    *,
    n: ArrayLike,
    width: ArrayLike | None = None,
    status: Sequence[str] | None = None,
    factors: Mapping[str, ArrayLike] | None = None,
    n_boot: int = 2000,
    seed: int = 0,
) -> PowerLaw:
    """Fit log τ = log C + α log n + β log W to the N runs of a family, all arguments [N].

    `tau` in steps; `status` "reached", "right" or "left": the `tau` of a censored run is the step it lies beyond.
    β is fitted where `width` varies. `factors` are labels by name ("n", "width", "seed"): runs with one label err
    together. Raises LawRefused where the reached runs are no more than the coefficients or do not tell them apart, or
    where runs of one n err together and there are two n; and InputError for values that have no logarithm.
    Source: Tobin 1958, "Estimation of relationships for limited dependent variables"; Olsen 1978.
    """
    y, x, censored = design(tau, n, width, status)
    refuse(x, censored == 0, np.asarray(n, dtype=np.float64), factors or {})
    centre, middle = np.append(0.0, x[:, 1:].mean(axis=0)), y.mean()
    b, sigma, information = fit_tobit(x - centre, y - middle, censored, np.ones((1, len(y))))
    if factors:
        errors = _shared(x - centre, y - middle, censored, b[0], sigma[0], factors)
    else:
        errors = _independent(x - centre, y - middle, censored, sigma[0], information[0], n_boot, seed)
    error = np.maximum(np.sqrt(errors.covariance.diagonal()), 1e-3 / SHARPEST)  # an exact law has rounding for an error
    half = stdtrit(errors.dof, 0.975) * error
    if factors and "width" in factors and x.shape[1] == 3 and len(set(x[censored == 0, 2])) < LEAST:
        half[2] = np.nan
    p_one, p_zero = (float(2 * stdtr(errors.dof[1], -abs(b[0, 1] - at) / error[1])) for at in (1.0, 0.0))
    uncentre = np.eye(len(centre))
    uncentre[0] -= centre
    beta, half_beta, dof_beta = (part[2] if len(centre) == 3 else np.nan for part in (b[0], half, errors.dof))
    return PowerLaw(
        alpha=float(b[0, 1]),
        alpha_low=float(b[0, 1] - half[1]),
        alpha_high=float(b[0, 1] + half[1]),
        beta=float(beta),
        beta_low=float(beta - half_beta),
        beta_high=float(beta + half_beta),
        log_c=float(uncentre[0] @ b[0] + middle),
        scatter=errors.scatter,
        components=errors.components,
        covariance=uncentre @ errors.covariance @ uncentre.T,
        p_alpha_is_one=p_one,
        p_alpha_is_zero=p_zero,
        n_runs=len(y),
        n_reached=int((censored == 0).sum()),
        dof=float(errors.dof[1]),
        dof_beta=float(dof_beta),
        method=errors.method,
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


def refuse(x: Array, reached: NDArray[np.bool_], n: Array, factors: Mapping[str, ArrayLike]) -> None:
    """Raise LawRefused where the reached runs of x [N, k] are too little for its coefficients or their intervals."""
    distinct = sorted(set(n[reached]))
    why = _why_refused(x, reached, distinct)
    if not why and "n" in factors and len(distinct) < LEAST:
        why = (
            f"runs of one n err together, and {len(distinct)} values of n do not say by how much: "
            f"{more_words('n', distinct, 2)}"
        )
    if why:
        raise LawRefused(why, n_runs=len(x), n_reached=int(reached.sum()), distinct_n=distinct)


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


def _independent(
    x: Array, y: Array, censored: NDArray[np.int64], sigma: float, information: Array, n_boot: int, seed: int
) -> _Errors:
    """Every run errs by itself: resampling from 8 reached runs on, below that the information [k, k]."""
    n_reached, k = int((censored == 0).sum()), x.shape[1]
    small = n_reached / (n_reached - k)
    covariance, method = information * small, "observed information"
    if n_reached >= FEW:
        resampled = _resampled_error(x, y, censored, n_boot, seed)
        if resampled is not None:
            ratio = resampled / np.sqrt(information.diagonal())
            covariance, method = covariance * np.outer(ratio, ratio), "resampled runs"
    scatter = float(sigma * np.sqrt(small))
    return _Errors(covariance, np.full(k, float(n_reached - k)), {ALONE: scatter}, scatter, method)


def _shared(
    x: Array, y: Array, censored: NDArray[np.int64], b: Array, sigma: float, factors: Mapping[str, ArrayLike]
) -> _Errors:
    """Runs that share a label of `factors` err together: the maximum of the likelihood, with their components."""
    _, weight, parts = estimate_censored(x, y, censored, b, sigma, factors)
    covariance, dof = coefficient_errors(x, weight, parts)
    return _Errors(covariance, dof, parts.standard_deviations, parts.scatter, "variance components")


def _resampled_error(x: Array, y: Array, censored: NDArray[np.int64], n_boot: int, seed: int) -> Array | None:
    """Standard errors [k] from resampling whole runs [N]; None where too few resamples identify the law."""
    runs = len(y)
    weight = np.random.default_rng(seed).multinomial(runs, np.full(runs, 1 / runs), size=n_boot).astype(np.float64)
    weight = weight[identified(x, (censored == 0)[None], weight)]
    if n_boot < 2 or len(weight) < 0.9 * n_boot:
        return None
    b, _, _ = fit_tobit(x, y, censored, weight)
    # the spread between quantiles: a few resamples that hardly identify the law have wild exponents
    low, high = np.quantile(b, [0.025, 0.975], axis=0)
    error: Array = (high - low) / (2 * Z)
    return error
