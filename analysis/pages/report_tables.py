"""The tables of the report page: times, laws and runs, every cell in words."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..times.words import time_words, window_words


def time_rows(times: pd.DataFrame, rows: pd.DataFrame) -> list[dict[str, str]]:
    ends = {}
    if "f_mem" in rows:
        measured = rows.dropna(subset="f_mem").sort_values("step").groupby("run").tail(1)
        ends = {row["run"]: row for row in measured.to_dict("records")}
    out = []
    for row in times.sort_values(["n", "run"]).to_dict("records"):
        end = ends.get(row["run"])
        words = {
            "run": str(row["run"]),
            "n": f"{row['n']:,}",
            "width": _plain(row.get("width")),
            "seed": _plain(row.get("seed")),
        }
        words |= {name: time_words(row, name) for name in ("tau_gen", "tau_mem")}
        words["window"] = window_words(row)
        words["end"] = "not measured" if end is None else f"{end['f_mem']:.3f}{_range(end)} at step {end['step']:,}"
        words["notes"] = _plain(row.get("notes"))
        out.append(words)
    return out


def _range(row: Mapping[Any, Any]) -> str:
    low, high = row.get("f_mem_low", math.nan), row.get("f_mem_high", math.nan)
    return "" if math.isnan(low) or math.isnan(high) else f" [{low:.3f}, {high:.3f}]"


def law_row(name: str, fit: Mapping[str, Any]) -> dict[str, str]:
    used = f"{fit['n_reached']} of {fit['n_runs']} runs reached it" if "n_runs" in fit else ""
    if fit.get("refused") or "alpha" not in fit:
        return {
            "name": name,
            "law": f"no law: {fit.get('refused') or 'not fitted'}",
            "alpha": "",
            "beta": "",
            "used": used,
        }
    law = f"{name} ~ n^{fit['alpha']:.2f}"
    beta = ""
    if fit.get("beta") is not None:
        law += f" W^{fit['beta']:.2f}"
        beta = f"{fit['beta']:.2f} [{fit['beta_low']:.2f}, {fit['beta_high']:.2f}]"
    alpha = f"{fit['alpha']:.2f} [{fit['low']:.2f}, {fit['high']:.2f}]"
    used += f"; {fit['dof']} degrees of freedom" if used and "dof" in fit else ""
    return {"name": name, "law": law, "alpha": alpha, "beta": beta, "used": used}


def run_table(runs: pd.DataFrame) -> dict[str, Any]:
    """Columns and rows of what differs between the runs, and what is the same in all of them."""
    given = runs["settings"] if "settings" in runs else [None] * len(runs)
    settings: list[Mapping[str, Any]] = [entry if isinstance(entry, Mapping) else {} for entry in given]
    names = sorted({name for entry in settings for name in entry} - {"data.n", "model.width", "seed", "data.index"})
    values = {name: [_plain(entry.get(name)) for entry in settings] for name in names}
    varied = {name: column for name, column in values.items() if len(set(column)) > 1}
    keys = [name for name in runs if name not in ("settings", "path")]
    columns = {str(name): [_plain(value) for value in runs[name]] for name in keys} | varied
    return {
        "columns": list(columns),
        "rows": list(zip(*columns.values(), strict=True)),
        "common": {name: column[0] for name, column in values.items() if name not in varied},
    }


def _plain(value: Any) -> str:
    """A cell: nothing for a missing value, whole numbers without a point."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
