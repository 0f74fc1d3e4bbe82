"""The laws of a family's times, as `laws.json` holds them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .bend import REJECTED, Runs, summary
from .groups import factors
from .scaling import LawRefused, design, fit_power_law
from .tobit import Array
from .used import Used, used_times

DRAWS = 199  # families drawn for the test of the power law
TIMES = ("tau_mem", "tau_gen", "tau_bias")


def laws(times: pd.DataFrame, n_boot: int = 2000, seed: int = 0, group: str = "auto") -> dict[str, dict[str, Any]]:
    """The laws of the times of a family, those of `TIMES` that it has: the contents of `laws.json`.

    `times` is what `family_times` returns; `group` says which runs err together (`GROUPS`). A law that is refused has
    its reason under "refused" and no numbers. Raises InputError for an unknown group.
    """
    return {name: _law(times, name, n_boot, seed, group) for name in TIMES if name in times}


def bends(law: Mapping[str, Any]) -> bool:
    """Whether the times ask for more than a power law, or for scatter between n that could be a bend."""
    bend = law.get("bend")
    return bend is not None and min(bend["p_power_law"], bend["p_runs_alone"]) < REJECTED


def bend_words(law: Mapping[str, Any]) -> str:
    """What is said where a law bends: the exponents at both ends instead of one, or that the one is an average."""
    bend = law["bend"]
    if bend["p_power_law"] < REJECTED:
        ends = [f"n^{exponent(at['exponent'], at['low'], at['high'])} at n = {at['n']:.0f}" for at in bend["local"]]
        return f"is no power law of n (p = {bend['p_power_law']:.2g}), but grows like {' and like '.join(ends)}"
    average = exponent(law["alpha"], law["low"], law["high"])
    return f"~ n^{average} on average: it bends, or scatters between n (p = {bend['p_runs_alone']:.2g})"


def _law(times: pd.DataFrame, name: str, n_boot: int, seed: int, group: str) -> dict[str, Any]:
    used = used_times(times, name)
    runs = used.runs
    known = {
        "n_runs": len(runs),
        "n_reached": used.n_reached,
        "definition": str(times[f"{name}_definition"].iloc[0]),
    }
    shared = factors(runs, group)
    try:
        law = fit_power_law(
            used.tau, n=runs["n"], width=runs["width"], status=used.status, factors=shared, n_boot=n_boot, seed=seed
        )
    except LawRefused as refusal:
        return known | {"refused": str(refusal)}
    return known | {
        "alpha": law.alpha,
        "low": law.alpha_low,
        "high": law.alpha_high,
        "beta": _or_none(law.beta),
        "beta_low": _or_none(law.beta_low),
        "beta_high": _or_none(law.beta_high),
        "dof": law.dof,
        "dof_beta": _or_none(law.dof_beta),
        "log_c": law.log_c,
        "covariance": law.covariance.tolist(),
        "scatter": law.scatter,
        "components": law.components,
        "p_alpha_is_one": law.p_alpha_is_one,
        "p_alpha_is_zero": law.p_alpha_is_zero,
        "method": law.method,
        "bend": summary(Runs(*_data(used), shared), min(n_boot, DRAWS), seed),
    }


def _data(used: Used) -> tuple[Array, Array, NDArray[np.int64]]:
    y, x, censored = design(used.tau, used.runs["n"], used.runs["width"], used.status)
    return x, y, censored


def exponent(value: float, low: float, high: float) -> str:
    """`1.02 [0.91, 1.13]`"""
    shown = [f"{round(one, 2) + 0.0:.2f}" for one in (value, low, high)]  # adding zero turns -0.0 into 0.0
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
