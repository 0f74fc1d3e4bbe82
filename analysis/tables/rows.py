"""The rows of a family's table, checked: columns, order of steps, missing numbers, values that cannot be.

A row that lacks a main measure is dropped and a quality that is no number is made NaN, with a note; whatever else is
wrong is an error that names the row.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from diffmem.arguments import shown
from diffmem.definitions import higher_is_better, is_quality, may_be_negative
from diffmem.errors import InputError

LARGEST = 2**53  # of the whole numbers that float64 tells apart
ROUNDED = 1e-3  # by which a share may be off its count
SHARES = ("f_mem", "f_mem_null", "p_train", "p_train_null")
RUN_COLUMNS = ("run", "n", "width", "seed", "index")


def clean_rows(rows: pd.DataFrame, source: str, notes: list[str]) -> pd.DataFrame:
    """Checked rows in the order of `metrics.csv`; rows with a missing main measure are dropped with a note.

    An index of the name `line` says where in `source` each row stands.
    """
    missing = [name for name in (*RUN_COLUMNS, "step") if name not in rows]
    if missing:
        raise InputError(
            f"{source} lacks the column {missing[0]}: a family's table has run, n, width, seed, index, step."
        )
    measures = [str(name) for name in rows if name not in ("run", *RUN_COLUMNS[1:], "step")]
    unnamed = rows["run"].isna() | (rows["run"].astype(str).str.strip() == "")
    if unnamed.any():
        raise InputError(f"{_place(source, rows, unnamed)}: the run has no name: give every row that of its run.")
    for name in ("n", "width", "seed", "index", "step", *measures):
        try:
            rows[name] = rows[name].astype(np.float64)
        except (ValueError, TypeError) as error:
            raise InputError(f"{source}: column {shown(name)} holds something that is no number ({error}).") from error
    _check_whole(rows, source)
    rows = _drop_incomplete(rows, measures, notes)
    rows = rows[[*RUN_COLUMNS, "step", *measures]]
    whole = {name: np.int64 for name in filter(_is_number_of_samples, measures) if rows[name].notna().all()}
    rows = rows.astype(whole)
    for run, group in rows.groupby("run", sort=False):
        if group["step"].iloc[0] < 0 or (group["step"].diff().iloc[1:] <= 0).any():
            raise InputError(
                f"{source}: the steps of run {run} do not ascend from 0 or more: give each step one row, in order."
            )
    _check_values(rows, measures, source)
    return rows.reset_index(drop=True)


def _check_whole(rows: pd.DataFrame, source: str) -> None:
    """What counts things holds whole numbers that a table can hold, or nothing."""
    for name in [*RUN_COLUMNS[1:], "step", *filter(_is_number_of_samples, map(str, rows))]:
        given = rows[name].dropna()
        broken = (given != np.floor(given)) | (given.abs() > LARGEST)
        if broken.any():
            raise _bad_row(source, rows.loc[broken.index[broken]], name, "is no whole number that counts")


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
    if kept.empty:
        raise InputError("no row has a number for n, width, seed, index, step and f_mem: nothing is left to read.")
    for name in set(measures) - set(main):
        lacking = _lacking(kept, [name])[name] if is_quality(name) else np.isinf(kept[name])
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
    def refuse(bad: "pd.Series[Any]", name: str, what: Callable[["pd.Series[Any]"], str] | str) -> None:
        if bad.any():
            raise _bad_row(source, rows[bad], name, what if isinstance(what, str) else what(rows[bad].iloc[0]))

    for name in ("n", "width"):
        refuse(rows[name] < 1, name, "is below 1")
    for name in [*RUN_COLUMNS[1:], *measures]:
        if not _may_be_negative(name):
            refuse(rows[name] < 0, name, "is negative")
    for name in [name for name in measures if name in SHARES]:
        refuse(rows[name] > 1, name, "is a share above 1")
    for name in [name for name in measures if name.endswith("_count")]:
        share, total = name.removesuffix("_count"), name.removesuffix("_count") + "_total"
        if total in rows:
            refuse(rows[total] < 1, total, "is below 1")
            refuse(rows[name] > rows[total], name, _more_than(total))
            if share in rows:
                off = (rows[share] - rows[name] / rows[total]).abs() > ROUNDED
                refuse(off, share, _not_of(name, total))


def _more_than(total: str) -> Callable[["pd.Series[Any]"], str]:
    return lambda row: f"is more than {total}={row[total]:g}"


def _not_of(name: str, total: str) -> Callable[["pd.Series[Any]"], str]:
    return lambda row: f"is not {row[name]:g} of {row[total]:g}"


def _is_number_of_samples(column: str) -> bool:
    return column.endswith(("_count", "_total"))


def _may_be_negative(name: str) -> bool:
    return (
        name.startswith(("loss_gen", "R2_t"))
        or name == "kl"
        or name.endswith(("_low", "_bias"))
        or (may_be_negative(name) and not higher_is_better(name))
    )


def _bad_row(source: str, rows: pd.DataFrame, name: str, what: str) -> InputError:
    """What is wrong with the first of `rows`."""
    row = rows.iloc[0]
    place = _place(source, rows, pd.Series(True, index=rows.index))
    return InputError(
        f"{place}: {shown(name)}={row[name]:g} of run {shown(row['run'])} at step {row['step']:g} {what}: mend that "
        "row."
    )


def _place(source: str, rows: pd.DataFrame, bad: "pd.Series[Any]") -> str:
    return f"{source}, line {bad.idxmax()}" if rows.index.name == "line" else source
