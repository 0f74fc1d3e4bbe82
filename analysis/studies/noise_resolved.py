"""Claims on where in diffusion time t the losses on train and test images part first, and the map of their gap.

A key is `ARM.first` (the t of the earliest onset, and the least and the largest t that are not surely later) or
`ARM.nN.tT` (the onset at that n and t in steps).
"""

import numpy as np
import pandas as pd

from diffmem.errors import InputError

from ..figures import loss_map
from ..laws.onset import first, gaps, onsets, run_onsets
from ..tables.family import read_table
from .reading import Found, Reading, Request, missing


def read(request: Request) -> Reading:
    """The reader `noise_resolved`, of one arm."""
    ((_, place),) = request.places.items()
    rows = read_table(place).rows
    picture = loss_map.picture(rows)
    if picture is None:
        raise InputError(f"{place} has losses at fewer than {loss_map.LEAST} diffusion times: set eval.t to more.")
    each = run_onsets(gaps(rows))
    table = onsets(each).set_index(["n", "t"])
    asked = {key: key.split(".")[1:] for key in request.keys}
    found = {key: _first(each) if what == ["first"] else _onset(table, *what) for key, what in asked.items()}
    return Reading(found, picture)


def _first(each: pd.DataFrame) -> Found:
    """The diffusion time of the earliest onset, between the least and the largest that are not surely later."""
    setting = f"n = {', '.join(map(str, sorted(set(each['n']))))}, {each['run'].nunique()} runs"
    earliest = first(each)
    if earliest is None:
        return missing(setting, "no two diffusion times to which every run has come.")
    return Found(earliest.t, min(earliest.among), max(earliest.among), setting)


def _onset(table: pd.DataFrame, n: str, t: str) -> Found:
    """The onset at `nN`, `tT` in steps."""
    key, setting = (int(n[1:]), int(t[1:])), f"n = {n[1:]}, t = {t[1:]}"
    if key not in table.index:
        return missing(setting, "no losses were measured there.")
    row = table.loc[key]
    if np.isnan(row["onset"]):
        return missing(setting, f"{row['runs'] - row['reached']:.0f} of {row['runs']:.0f} runs have not come to it.")
    return Found(row["onset"], row["low"], row["high"], f"{setting}, {row['runs']:.0f} runs")
