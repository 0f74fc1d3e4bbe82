"""The tables of the report page: times, laws and runs, every cell in words."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from diffmem.definitions import BOOKENDS, is_quality
from diffmem.store import RunDir, evaluation_share

from ..laws.family import bend_words, bends
from ..tables.bookends import bookends
from ..times.words import time_words, window_words

MISSING = "–"
TIMES = {  # column of `timescales.csv` -> its head on the page, and its colour
    "tau_gen": ("tau_gen", "gen"),
    "tau_bias": ("tau_bias", "bias"),
    "fmem_onset": ("first copies", ""),
    "tau_mem": ("tau_mem", "mem"),
    "score_reaches": ("R ≤ 1/2", "gen"),
    "score_turns": ("R2 < 0", "mem"),
}


def time_columns(times: pd.DataFrame) -> list[tuple[str, str, str]]:
    """(name, head, colour) of the times to show: those of scores only where they were measured."""
    return [(name, *words) for name, words in TIMES.items() if name in times or not name.startswith("score")]


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
        words |= {name: time_words(row, name) for name, _, _ in time_columns(times)}
        words["window"] = window_words(row)
        words["end"] = "not measured" if end is None else f"{end['f_mem']:.3f}{_range(end)}"
        words["end_step"] = "" if end is None else f"at step {end['step']:,}"
        words["notes"] = str(row.get("notes") or "")
        out.append(words)
    return out


def bookend_table(rows: pd.DataFrame) -> dict[str, Any] | None:
    """What each measure says of every bookend (copies: for each n): `measures` and `rows`; None where none is known."""
    named = [str(name).split("@")[0] for name in rows if "@" in str(name)]
    measures = [name for name in dict.fromkeys(named) if is_quality(name)]
    known = {measure: bookends(rows, measure) for measure in measures}
    if not measures:
        return None
    lines = []
    for name, words in BOOKENDS.items():
        if name == "copies":
            for n, part in rows.groupby("n"):
                found = [bookends(part, measure).get(name, math.nan) for measure in measures]
                lines.append({"name": f"copies, n = {n:,}", "words": words, "values": [_short(x) for x in found]})
        else:
            found = [known[measure].get(name, math.nan) for measure in measures]
            if all(map(math.isnan, found)):
                continue
            lines.append({"name": name.replace("_", " "), "words": words, "values": [_short(x) for x in found]})
    return {"measures": measures, "rows": lines}


def _short(value: float) -> str:
    return MISSING if math.isnan(value) else f"{value:.3g}"


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
    law = f"{name} {bend_words(fit)}" if bends(fit) else f"{name} ~ n^{fit['alpha']:.2f}"
    beta = ""
    if fit.get("beta") is not None:
        law += "" if bends(fit) else f" W^{fit['beta']:.2f}"
        known = fit.get("beta_low") is not None
        beta = f"{fit['beta']:.2f}" + (f" [{fit['beta_low']:.2f}, {fit['beta_high']:.2f}]" if known else "")
    alpha = f"{fit['alpha']:.2f} [{fit['low']:.2f}, {fit['high']:.2f}]"
    used += f"; {fit['dof']:.3g} degrees of freedom" if used and "dof" in fit else ""
    return {"name": name, "law": law, "alpha": alpha, "beta": beta, "used": used}


def run_table(runs: pd.DataFrame) -> dict[str, Any]:
    """Columns and rows of what differs between the runs, and what is the same in all of them."""
    given = runs["settings"] if "settings" in runs else [None] * len(runs)
    settings: list[Mapping[str, Any]] = [entry if isinstance(entry, Mapping) else {} for entry in given]
    names = sorted({name for entry in settings for name in entry} - {"data.n", "model.width", "seed", "data.index"})
    values = {name: [_plain(entry.get(name)) for entry in settings] for name in names}
    varied = {name: column for name, column in values.items() if len(set(column)) > 1}
    keys = [name for name in runs if name not in ("settings", "path")]
    columns = {str(name): [_plain(value) for value in runs[name]] for name in keys} | _evaluation(runs) | varied
    return {
        "columns": list(columns),
        "rows": list(zip(*columns.values(), strict=True)),
        "common": {name: column[0] for name, column in values.items() if name not in varied},
    }


def _evaluation(runs: pd.DataFrame) -> dict[str, list[str]]:
    """What part of each run's time its evaluation took, where a run of the table was timed."""
    paths = list(runs["path"]) if "path" in runs else []
    timings = [RunDir(Path(path)).timings() if isinstance(path, str) else [] for path in paths]
    shares = [f"{evaluation_share(times):.0%} of its time" if times else MISSING for times in timings]
    return {"evaluation": shares} if any(timings) else {}


def _plain(value: Any) -> str:
    """A cell: a dash for a missing number, null for a setting that is null, whole numbers without a point."""
    if isinstance(value, float) and math.isnan(value):
        return MISSING
    if value is None:
        return "null"
    return f"{value:g}" if isinstance(value, float) else str(value)
