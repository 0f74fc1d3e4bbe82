"""The laws of a family's times, as `laws.json` holds them and as one sentence for people."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .scaling import CENSORING, LawRefused, fit_power_law


def laws(times: pd.DataFrame, n_boot: int = 2000, seed: int = 0) -> dict[str, dict[str, Any]]:
    """The laws of `tau_mem` and `tau_gen` of a family's times: the contents of `laws.json`.

    `times` is what `family_times` returns. A law that is refused has its reason under "refused" and no numbers.
    """
    return {name: _law(times, name, n_boot, seed) for name in ("tau_mem", "tau_gen") if name in times}


def sentence(fitted: Mapping[str, Mapping[str, Any]], times: pd.DataFrame) -> str:
    """The laws and the window to train in, for people: one line, which says what was not reached."""
    parts = []
    for name, law in fitted.items():
        if "refused" in law:
            parts.append(f"{name}: no law ({law['refused']})")
            continue
        text = f"{name} ~ n^{_exponent(law['alpha'], law['low'], law['high'])}"
        if law["beta"] is not None:
            text += f" W^{_exponent(law['beta'], law['beta_low'], law['beta_high'])}"
        parts.append(text)
    return f"{', '.join(parts)}; {_window(times)}"


def _law(times: pd.DataFrame, name: str, n_boot: int, seed: int) -> dict[str, Any]:
    status = times[f"{name}_status"]
    used = times[status.isin(list(CENSORING)) & (times[f"{name}_bound"] > 0)]
    reached = used[f"{name}_status"] == "reached"
    known = {
        "n_runs": len(used),
        "n_reached": int(reached.sum()),
        "definition": str(times[f"{name}_definition"].iloc[0]),
    }
    tau = np.where(reached, used[name], used[f"{name}_bound"])
    try:
        law = fit_power_law(
            tau, n=used["n"], width=used["width"], status=list(used[f"{name}_status"]), n_boot=n_boot, seed=seed
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
        "log_c": law.log_c,
        "scatter": law.scatter,
        "p_alpha_is_one": law.p_alpha_is_one,
        "p_alpha_is_zero": law.p_alpha_is_zero,
        "method": law.method,
    }


def _exponent(value: float, low: float, high: float) -> str:
    shown = [f"{round(one, 2) + 0.0:.2f}" for one in (value, low, high)]  # adding zero turns -0.0 into 0.0
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _window(times: pd.DataFrame) -> str:
    """From quality to memorization at the largest n where some run reached both, and what is open beyond it."""
    both = times[(times["tau_gen_status"] == "reached") & (times["tau_mem_status"] == "reached")]
    if both.empty:
        return f"no run reached both times: {_open_ends(times)}"
    at = both[both["n"] == both["n"].max()]
    at = at[at["width"] == at["width"].max()]
    first, last = math.ceil(at["tau_gen"].max()), math.floor(at["tau_mem"].min())
    where = f"at n = {at['n'].iloc[0]}"
    if times["width"].nunique() > 1:
        where += f", W = {at['width'].iloc[0]}"
    text = f"{where} train between step {first} and step {last}"
    if first >= last:
        text = f"{where} there is no window: memorization at step {last}, quality at step {first}"
    beyond = times[times["n"] > both["n"].max()]
    return text if beyond.empty else f"{text} ({_open_ends(beyond)})"


def _open_ends(times: pd.DataFrame) -> str:
    """What the runs of the largest n did not reach."""
    at = times[times["n"] == times["n"].max()]
    said = []
    for name in ("tau_gen", "tau_mem"):
        for status, words in (("right", "not reached by"), ("left", "already true before"), ("refused", "refused")):
            runs = at[at[f"{name}_status"] == status]
            if len(runs):
                said.append(
                    f"{name} {words}" + ("" if status == "refused" else f" step {runs[f'{name}_last_step'].max():.0f}")
                )
    return f"at n = {at['n'].iloc[0]} {', '.join(said)}"
