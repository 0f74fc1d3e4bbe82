"""Prediction of a training time of one run from the other runs of its family.

The law log τ = log C + α log n + β log W + σ z is fitted to the other runs, and the time of the run at hand has the
predictive distribution of a new observation,

    log τ ~ m + s T,   m = x b,   s² = (σ² + x Cov(b) x^T) N / (N - k)

with T Student's t of N - k degrees of freedom, N the reached runs and k the coefficients. What the run has shown so
far enters as well: where it has trained to a step without reaching τ, the distribution is conditioned on τ beyond it.
Seen on planted laws: conditioned on a bound that stands in a fixed relation to the prediction the interval covers 0.95;
on one step for all, it covers 0.94 with 8 other runs and 0.87 with 4.
Source of the predictive distribution: Draper and Smith 1998, "Applied regression analysis", section 1.4, for
uncensored values.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from .scaling import CENSORING, LawRefused, design, fit_power_law
from .tobit import fit_tobit


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A time that a run has not reached yet, in optimizer steps: its median and 95% interval.

    `after` is the step it is known to lie beyond (0: nothing is known). `surprise` is the probability that the law
    alone gave to a time beyond `after`. `extrapolated` where n or W lies outside those of the runs that reached it.
    """

    name: str
    value: float
    low: float
    high: float
    after: float
    surprise: float
    alpha: float
    n_reached: int
    dof: int
    extrapolated: bool


def predict(times: pd.DataFrame, name: str, *, n: float, width: float, after: float = 0.0) -> Prediction:
    """Predict `name` ("tau_mem" or "tau_gen") at (n, width) from the `times` of the other runs of the family.

    `times` has the columns of `timescales.csv`. Raises LawRefused where these runs are too few for a law, and where
    they have one width and the run has another.
    """
    used = times[times[f"{name}_status"].isin(list(CENSORING)) & (times[f"{name}_bound"] > 0)]
    reached = used[f"{name}_status"] == "reached"
    if used["width"].nunique() == 1 and width != used["width"].iloc[0]:
        have = f"the other runs all have W = {used['width'].iloc[0]:g}, and this one W = {width:g}"
        raise LawRefused(have, n_runs=len(used), n_reached=int(reached.sum()), distinct_n=())
    tau, status = np.where(reached, used[name], used[f"{name}_bound"]), list(used[f"{name}_status"])
    law = fit_power_law(tau, n=used["n"], width=used["width"], status=status, n_boot=0)
    y, x, censored = design(tau, used["n"], used["width"], status)
    at = np.array([1.0, np.log(n), np.log(width)])[: x.shape[1]]
    centre = np.append(0.0, x[:, 1:].mean(axis=0))
    b, sigma, covariance = fit_tobit(x - centre, y - y.mean(), censored, np.ones((1, len(y))))
    at_centre = at - centre
    middle = float(b[0] @ at_centre + y.mean())
    small = law.n_reached / law.dof
    scale = float(np.sqrt((sigma[0] ** 2 + at_centre @ covariance[0] @ at_centre) * small))
    start = (np.log(after) - middle) / scale if after > 0 else -np.inf
    beyond = float(stdtr(law.dof, -start))  # P(τ > after)
    low, value, high = (float(np.exp(middle - scale * stdtrit(law.dof, (1 - p) * beyond))) for p in (0.025, 0.5, 0.975))
    seen = used[reached]
    inside = seen["n"].min() <= n <= seen["n"].max() and seen["width"].min() <= width <= seen["width"].max()
    return Prediction(
        name=name,
        value=value,
        low=low,
        high=high,
        after=after,
        surprise=beyond,
        alpha=law.alpha,
        n_reached=law.n_reached,
        dof=law.dof,
        extrapolated=not inside,
    )


def leave_one_n_out(times: pd.DataFrame, name: str = "tau_mem") -> pd.DataFrame:
    """Score the predictions on a family: each run that reached the time is predicted from the runs at other n.

    Nothing of the run itself is used. Returns run, n, width, observed, predicted, low, high, covered and factor, the
    predicted over the observed time, one row for each run whose other n give a law.
    """
    rows = []
    for run in times[times[f"{name}_status"] == "reached"].to_dict("records"):
        others = times[times["n"] != run["n"]]
        try:
            made = predict(others, name, n=run["n"], width=run["width"])
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
