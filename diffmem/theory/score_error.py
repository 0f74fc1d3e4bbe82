"""How the best error of the score falls with the number of points: E_score ~ ψ_n^-η.

E_score(τ) = E‖s_A(x_t) - s_true(x_t)‖²/d falls, and rises again as single points are learned; its least value over τ is
what the best moment to stop leaves. The study gives η = 0.59 at ψ_p = 64, t = 0.1, Σ = I, ψ_n = 4 to 32, simulated at
d = 100 (Bonnaire et al. 2025, section 3).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import linregress
from scipy.stats import t as student

from diffmem.config.theory import TheoryConfig
from diffmem.theory.chosen import chosen_model
from diffmem.theory.constants import Array
from diffmem.theory.dynamics import Curves, finite_curves, limit_curves
from diffmem.theory.simulate import draw
from diffmem.theory.tables import Made
from diffmem.theory.timescales import time_grid
from diffmem.theory.validity import check


class Best(NamedTuple):
    """The least error of the score of one curve, and the training time at which it comes."""

    kind: str  # limit or simulation
    psi_n: float
    draw: int  # -1 of the limit
    tau: float
    score_error: float


class Power(NamedTuple):
    """E_score ~ ψ_n^exponent, least squares in logarithms, with a 95% interval by Student's t."""

    exponent: float
    low: float
    high: float


def score_error(config: TheoryConfig, say: Callable[[str], None] = lambda words: None) -> Made:
    """E_score against τ for each ψ_n of `psi_n_grid`, in the limit and of simulated draws; the power of the least."""
    grid = sorted(config.psi_n_grid)
    largest = replace(config, psi_n=grid[-1])  # all draws have the dimensions of the largest
    largest.check_simulation()
    model = chosen_model(config)
    valid = check(model, config.directions or largest.dimensions)._asdict()
    tables, best = [], []
    for psi_n in grid:
        one = replace(model, psi_n=psi_n)
        say(f"the limit at psi_n = {psi_n:g}")
        limit = limit_curves(one, time_grid(one, config.points))
        curves = [("limit", -1, limit)]
        for number, seed in enumerate(range(config.seed, config.seed + config.draws)):
            say(f"simulated draw {number + 1} of {config.draws} at psi_n = {psi_n:g}, d = {largest.dimensions}")
            made = draw(one, largest.dimensions, features=config.features, seed=seed)
            curves.append(("simulation", number, finite_curves(made, limit.tau)))
        for kind, number, curve in curves:
            tables.append(_table(curve).assign(kind=kind, psi_n=psi_n, draw=number))
            best.append(Best(kind, psi_n, number, *_least(curve)))
    powers = {kind: _power(best, kind) for kind in ("limit", "simulation")}
    facts = {
        "best": [one._asdict() for one in best],
        "powers": {kind: power and power._asdict() for kind, power in powers.items()},
        "local_exponents": _local(best),
        "d": largest.dimensions,
        "validity": valid,
    }
    told = [f"{kind} psi_n^{_said(power)}" for kind, power in powers.items() if power]
    return Made(pd.concat(tables, ignore_index=True), facts, f"The least error of the score: {', '.join(told)}.")


def _table(curve: Curves) -> pd.DataFrame:
    return pd.DataFrame({"tau": curve.tau, "score_error": curve.score_error})


def _least(curve: Curves) -> tuple[float, float]:
    """(τ, E_score) of the least error: the vertex of a parabola in logarithms through three points."""
    middle = min(max(int(curve.score_error.argmin()), 1), len(curve.tau) - 2)
    near = slice(middle - 1, middle + 2)
    x, y = np.log(curve.tau[near]), np.log(curve.score_error[near])
    curvature, slope, _ = fitted = np.polyfit(x - x[1], y, 2)
    place = float(np.clip(-slope / (2 * curvature), x[0] - x[1], x[2] - x[1])) if curvature > 0 else 0.0
    return float(np.exp(x[1] + place)), float(np.exp(np.polyval(fitted, place)))


def _power(best: list[Best], kind: str) -> Power | None:
    """The power of the least errors of `kind`; None for fewer than three ψ_n."""
    x, y = _logarithms(best, kind)
    if len(np.unique(x)) < 3:
        return None
    fitted = linregress(x, y)
    half = float(student.ppf(0.975, len(x) - 2) * fitted.stderr)
    return Power(float(fitted.slope), float(fitted.slope) - half, float(fitted.slope) + half)


def _local(best: list[Best]) -> list[dict[str, Any]]:
    """The exponent of the limit between neighbours of the grid."""
    x, y = _logarithms(best, "limit")
    rows = zip(np.exp(x[:-1]), np.exp(x[1:]), np.diff(y) / np.diff(x), strict=True)
    return [{"from": float(low), "to": float(high), "exponent": float(slope)} for low, high, slope in rows]


def _logarithms(best: list[Best], kind: str) -> tuple[Array, Array]:
    """(log ψ_n, log E_score) of the curves of `kind`."""
    chosen = [one for one in best if one.kind == kind]
    return np.log([one.psi_n for one in chosen]), np.log([one.score_error for one in chosen])


def _said(power: Power) -> str:
    return f"{power.exponent:.3f} [{power.low:.3f}, {power.high:.3f}]"
