"""Prediction of a training time of one run from the other runs of its family.

The law is fitted to the other runs, in the shape that predicts best for the task: inside the values of n by leaving
each out in turn, beyond them by leaving out the largest (`bend`). The best linear unbiased prediction of a new run
(Goldberger 1962) takes from the law its n and W, and from the runs that share its n, W or seed how those lie about it:

    log τ ~ m + s T,   m = λ·y,   s² = the variance of λ·y - log τ by the components of `components`

with T Student's t of Satterthwaite's degrees of freedom; of runs that err by themselves these are the textbook's
interval and N - k. What the run has shown so far enters as well: where it has trained to a step without reaching τ,
the distribution is conditioned on τ beyond it. Seen on planted laws: conditioned on a bound that stands in a fixed
relation to the prediction the interval covers 0.95; on one step for all, it covers 0.94 with 8 other runs and 0.87
with 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from . import shapes
from .bend import Runs, bent, choose
from .components import Components
from .groups import factors
from .scaling import LawRefused, design, refuse
from .tobit import Array
from .used import used_times


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A time that a run has not reached yet, in optimizer steps: its median and 95% interval.

    `after` is the step it is known to lie beyond (0: nothing is known). `surprise` is the probability that the law
    alone gave to a time beyond `after`. `shape` is that of the law (`shapes.SHAPES`) and `exponent` its
    d log τ / d log n at the run's n. `extrapolated` where n or W lies outside those of the runs that reached it.
    """

    name: str
    value: float
    low: float
    high: float
    after: float
    surprise: float
    shape: str
    exponent: float
    n_reached: int
    dof: float
    extrapolated: bool


def predict(
    times: pd.DataFrame,
    name: str,
    *,
    n: float,
    width: float,
    seed: float | None = None,
    after: float = 0.0,
    group: str = "auto",
) -> Prediction:
    """Predict `name` (such as "tau_mem") at (n, width) from the `times` of the other runs of the family.

    `times` has the columns of `timescales.csv`; `group` says which runs err together, and `seed` which of them are of
    the seed to predict (None: of no other). Raises LawRefused where these runs are too few for a law, and where they
    have one width and the run has another.
    """
    used = used_times(times, name)
    runs, reached = used.runs, np.array(used.status) == "reached"
    if runs["width"].nunique() == 1 and width != runs["width"].iloc[0]:
        have = f"the other runs all have W = {runs['width'].iloc[0]:g}, and this one W = {width:g}"
        raise LawRefused(have, n_runs=len(runs), n_reached=used.n_reached, distinct_n=())
    y, x, censored = design(used.tau, runs["n"], runs["width"], used.status)
    shared = factors(runs, group)
    refuse(x, reached, runs["n"].to_numpy(np.float64), shared)
    known = Runs(x, y, censored, shared)
    seen = runs[reached]
    inside = seen["n"].min() <= n <= seen["n"].max() and seen["width"].min() <= width <= seen["width"].max()
    law = bent(known, choose(known, "inside" if inside else "beyond"))
    at = (np.array([1.0, np.log(n), np.log(width)])[: x.shape[1]] - known.centre)[None]
    own = {"n": n, "width": width, "seed": seed}
    like = {factor: (labels == own[factor]).to_numpy() for factor, labels in shared.items()}
    weights, scale, dof = _best(law.linear, shapes.gradient(law.shape, law.p, at)[0], law.parts, like)
    middle = float(shapes.value(law.shape, law.p, at)[0] + weights @ law.value)
    scale = max(scale, 1e-9)
    start = (np.log(after) - middle) / scale if after > 0 else -np.inf
    beyond = float(stdtr(dof, -start))  # P(τ > after)
    low, median, high = (float(np.exp(middle - scale * stdtrit(dof, (1 - p) * beyond))) for p in (0.025, 0.5, 0.975))
    return Prediction(
        name=name,
        value=median,
        low=low,
        high=high,
        after=after,
        surprise=beyond,
        shape=law.shape,
        exponent=float(shapes.exponent(law.shape, law.p, at)[0][0]),
        n_reached=used.n_reached,
        dof=dof,
        extrapolated=not inside,
    )


def _best(x: Array, at: Array, parts: Components, like: Mapping[str, NDArray[np.bool_]]) -> tuple[Array, float, float]:
    """Weights [N] of the best prediction at `at` [k], its standard error and its degrees of freedom.

    `like` says by factor which runs [N] share it with the run to predict.
    """
    matches = np.array([like.get(name, np.zeros(len(x))) for name in parts.names], dtype=np.float64)  # [J, N]
    variance = np.maximum(parts.variance, 0.0)
    inverse = np.linalg.inv(np.tensordot(variance, parts.kernels, axes=1))
    near = variance @ matches
    part = inverse @ x
    weights = inverse @ near + part @ np.linalg.solve(x.T @ part, at - part.T @ near)
    share = np.einsum("i,jik,k->j", weights, parts.kernels, weights) - 2 * matches @ weights + 1
    return weights, *parts.spread_of(share)


def leave_one_n_out(times: pd.DataFrame, name: str = "tau_mem", group: str = "auto") -> pd.DataFrame:
    """Score the predictions on a family: each run that reached the time is predicted from the runs at other n.

    Nothing of the run itself is used. Returns run, n, width, observed, predicted, low, high, covered and factor, the
    predicted over the observed time, one row for each run whose other n give a law.
    """
    rows = []
    for run in times[times[f"{name}_status"] == "reached"].to_dict("records"):
        others = times[times["n"] != run["n"]]
        try:
            made = predict(others, name, n=run["n"], width=run["width"], seed=run.get("seed"), group=group)
        except LawRefused:
            continue
        rows.append(
            {
                "run": run["run"],
                "n": run["n"],
                "width": run["width"],
                "observed": run[name],
                "predicted": made.value,
                "low": made.low,
                "high": made.high,
                "covered": made.low <= run[name] <= made.high,
                "factor": made.value / run[name],
            }
        )
    columns = ["run", "n", "width", "observed", "predicted", "low", "high", "covered", "factor"]
    return pd.DataFrame(rows, columns=columns)


def typical_factor(scores: pd.DataFrame) -> float:
    """By what factor predictions are off: exp of the root mean square of the log error; NaN without any."""
    errors: NDArray[np.float64] = np.log(scores["factor"].to_numpy(np.float64))
    return float(np.exp(np.sqrt(np.mean(errors**2)))) if len(errors) else np.nan
