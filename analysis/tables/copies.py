"""Copies of one run, told apart from replicates: a trajectory counts once, however many folders hold it.

Within a family n, W, the seed, data.index and the data decide the trajectory. Runs that agree in the first four are one
where the checksums of their data agree, or, where these are not known, their rows at every common step.
"""

from typing import Any

import pandas as pd

KEY = ["n", "width", "seed", "index"]


def without_copies(
    runs: pd.DataFrame, rows: pd.DataFrame, notes: list[str], checksums: dict[str, str | None], keep: str | None = None
) -> pd.DataFrame:
    """The entries of `runs` (run and KEY) without the copies among them, which `notes` name.

    `checksums` are those of each run's data, where known. Of several the longest stays, or the one called `keep`.
    """
    copies: dict[str, str] = {}
    tables = {str(name): table for name, table in rows.groupby("run", sort=False)}
    for _, group in runs.groupby(KEY, sort=False):
        names = sorted(group["run"], key=lambda name: (name != keep, -len(tables[name]), len(name), name))
        kept: list[str] = []
        for name in names:
            same = next((one for one in kept if _same(name, one, checksums, tables)), None)
            if same is None:
                kept.append(name)
            else:
                copies[name] = same
    for name, one in copies.items():
        notes.append(f"{name} is a copy of {one} (the same n, W, seed, data.index and data): the two count once.")
    return runs[~runs["run"].isin(copies)]


def _same(one: str, other: str, checksums: dict[str, str | None], tables: dict[str, pd.DataFrame]) -> bool:
    known = (checksums.get(one), checksums.get(other))
    if None not in known:
        return known[0] == known[1]
    first, second = (tables[name].drop(columns=["run"]).set_index("step") for name in (one, other))
    common = first.index.intersection(second.index)
    return len(common) > 0 and _values(first, common) == _values(second, common)


def _values(table: pd.DataFrame, steps: "pd.Index[Any]") -> list[Any]:
    return table.loc[list(steps)].astype(float).fillna(-1.0).to_numpy().tolist()
