"""The rows of a family's table, checked: columns, order of steps, missing numbers, values that cannot be.

A row that lacks a main measure is dropped and a quality that is no number is made NaN, with a note; whatever else is
wrong is an error that names the row.
"""

from typing import Any

import numpy as np
import pandas as pd

from diffmem.definitions import is_quality
from diffmem.errors import InputError

RUN_COLUMNS = ("run", "n", "width", "seed", "index")


def clean_rows(rows: pd.DataFrame, source: str, notes: list[str]) -> pd.DataFrame:
    """Checked rows in the order of `metrics.csv`; rows with a missing main measure are dropped with a note."""
    missing = [name for name in (*RUN_COLUMNS, "step") if name not in rows]
    if missing:
        raise InputError(
            f"{source} lacks the column {missing[0]}: a family's table has run, n, width, seed, index, step."
        )
    measures = [str(name) for name in rows if name not in ("run", *RUN_COLUMNS[1:], "step")]
    for name in ("n", "width", "seed", "index", "step", *measures):
        try:
            rows[name] = rows[name].astype(np.float64)
        except (ValueError, TypeError) as error:
            raise InputError(f"{source}: column {name} holds something that is no number ({error}).") from error
    rows = _drop_incomplete(rows, measures, notes)
    rows = rows[[*RUN_COLUMNS, "step", *measures]]
    whole = {name: np.int64 for name in measures if name.endswith(("_count", "_total")) and rows[name].notna().all()}
    rows = rows.astype(whole)
    for run, group in rows.groupby("run", sort=False):
        if group["step"].iloc[0] < 0 or (group["step"].diff().iloc[1:] <= 0).any():
            raise InputError(
                f"{source}: the steps of run {run} do not ascend from 0 or more: give each step one row, in order."
            )
    _check_values(rows, measures, source)
    return rows.reset_index(drop=True)


def _drop_incomplete(rows: pd.DataFrame, measures: list[str], notes: list[str]) -> pd.DataFrame:
    """Without the rows that lack an f_mem which their run does have; a quality that is no number is made NaN."""
    main = [name for name in measures if name in ("f_mem", "f_mem_count", "f_mem_total")]
    bad = rows[[*RUN_COLUMNS[1:], "step"]].isna().any(axis=1)
    if main:
        bad |= _lacking(rows, main).any(axis=1)
    for run, count in bad.groupby(rows["run"], sort=False).sum().items():
        if count:
            notes.append(f"{run}: {count} of {(rows['run'] == run).sum()} rows lack a number and were dropped.")
    kept = rows[~bad].copy()
    for name in filter(is_quality, measures):
        lacking = _lacking(kept, [name])[name]
        kept[name] = kept[name].where(~lacking)
        for run, count in lacking.groupby(kept["run"], sort=False).sum().items():
            if count:
                notes.append(f"{run}: {name} is missing at {count} of {(kept['run'] == run).sum()} steps.")
    for name in ("n", "width", "seed", "index", "step"):
        kept[name] = kept[name].astype(np.int64)
    return kept


def _lacking(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Where a measure is no finite number although its run has some."""
    broken = ~rows[names].astype(np.float64).abs().lt(np.inf)
    return broken & ~broken.groupby(rows["run"]).transform("all")


def _check_values(rows: pd.DataFrame, measures: list[str], source: str) -> None:
    for name in [*RUN_COLUMNS[1:], *measures]:
        below_zero = rows[rows[name] < 0]
        if len(below_zero) and not (name.startswith("loss_gen") or name.endswith("_low")):
            raise _bad_row(source, below_zero.iloc[0], name, "is negative")
    for name in [name for name in measures if name.endswith("_count")]:
        total = name.removesuffix("_count") + "_total"
        if total in rows:
            above = rows[rows[name] > rows[total]]
            if len(above):
                raise _bad_row(source, above.iloc[0], name, f"is more than {total}={above.iloc[0][total]:g}")
    for name in [name for name in measures if name in ("f_mem", "f_mem_null")]:
        above = rows[rows[name] > 1]
        if len(above):
            raise _bad_row(source, above.iloc[0], name, "is a share above 1")


def _bad_row(source: str, row: "pd.Series[Any]", name: str, what: str) -> InputError:
    return InputError(
        f"{source}: {name}={row[name]:g} of run {row['run']} at step {row['step']} {what}: mend that row."
    )
