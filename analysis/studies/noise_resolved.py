"""Claims on where in diffusion time t the losses on train and test images part first, and the map of their gap.

A key is `ARM.slope` (d log onset / d log t within a run) or `ARM.nN.tT` (the onset at that n and t in steps).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from diffmem.errors import InputError

from ..figures import loss_map
from ..laws.onset import gaps, onsets, run_onsets, slope
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
    table = {(row["n"], row["t"]): row for row in onsets(each).to_dict("records")}
    asked = {key: key.split(".")[1:] for key in request.keys}
    found = {key: _slope(each) if what == ["slope"] else _onset(table, *what) for key, what in asked.items()}
    return Reading(found, picture)


def _slope(each: pd.DataFrame) -> Found:
    """How the onset moves with t."""
    found, setting = slope(each), f"n = {', '.join(map(str, sorted(set(each['n']))))}"
    if found is None:
        return missing(setting, "fewer than two runs have come to it at three diffusion times.")
    return Found(found.value, found.low, found.high, f"{setting}, {found.runs} of {each['run'].nunique()} runs")


def _onset(table: Mapping[tuple[int, int], Mapping[Any, Any]], n: str, t: str) -> Found:
    """The onset at `nN`, `tT` in steps."""
    key, setting = (int(n[1:]), int(t[1:])), f"n = {n[1:]}, t = {t[1:]}"
    if key not in table:
        return missing(setting, "no losses were measured there.")
    row = table[key]
    if np.isnan(row["onset"]):
        return missing(setting, f"{row['runs'] - row['reached']:.0f} of {row['runs']:.0f} runs have not come to it.")
    return Found(row["onset"], row["low"], row["high"], f"{setting}, {row['runs']:.0f} runs")
