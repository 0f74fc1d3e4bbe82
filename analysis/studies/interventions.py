"""Claims on interventions beside their control, and the forest plot of them.

The arms are `control`, perhaps `placebo`, and one for each intervention. A key is `ARM.ESTIMAND`, an estimand of
`laws.interventions`; those of times are given as ratios.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..figures.forest import as_ratios, forest
from ..laws.interventions import CONTROL, PLACEBO, effects
from ..tables.family import Family, read_table
from .reading import Found, Reading, Request, missing

TIMES_OF = {"window": ("tau_gen", "tau_bias")}  # without which there is none


def read(request: Request) -> Reading:
    """The reader `interventions`."""
    arms = {arm: read_table(place) for arm, place in request.places.items()}
    found = effects(arms)
    rows = {(row["arm"], row["estimand"]): row for row in as_ratios(found.table).to_dict("records")}
    setting = _setting(arms[CONTROL])
    return Reading({key: _found(key, rows, setting) for key in request.keys}, forest(found.table))


def _found(key: str, rows: Mapping[tuple[str, str], Mapping[Any, Any]], setting: str) -> Found:
    arm, estimand = key.split(".")
    if (arm, estimand) not in rows:
        return missing(setting, f"no run of {arm} has one of the {CONTROL} beside it.")
    row = rows[arm, estimand]
    if np.isfinite(row["bound"]):
        return missing(setting, f"at least {row['bound']:.2g}: not reached by the last step.")
    if np.isnan(row["effect"]):
        late = [row for name in TIMES_OF.get(estimand, ()) if np.isfinite((row := rows[arm, name])["bound"])]
        words = [f"{row['estimand']} is at least {row['bound']:.2g} times the control's" for row in late]
        return missing(setting, f"{'; '.join(words) or 'fewer than two pairs of runs have it'}.")
    return Found(row["effect"], row["low"], row["high"], f"{setting}, {row['pairs']:.0f} pairs", _note(arm, row))


def _note(arm: str, row: Mapping[Any, Any]) -> str:
    """Holm's p-value; of the placebo its own."""
    if arm == PLACEBO:
        return f"p = {row['p']:.2g}, nothing was changed."
    return f"p = {row['p_holm']:.2g} after Holm's correction." if np.isfinite(row["p_holm"]) else ""


def _setting(control: Family) -> str:
    """`digits, W = 16, n = 128`"""
    runs = control.runs
    data = control.settings(runs["run"].iloc[0]).get("data.name") or runs["run"].iloc[0].partition("-")[0]
    widths, ns = (", ".join(map(str, sorted(set(runs[name])))) for name in ("width", "n"))
    return f"{data}, W = {widths}, n = {ns}"
