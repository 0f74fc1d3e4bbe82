"""The largest n that a network of each width memorizes, n*(W), and the phase diagram of (n, W).

A key is `W.n_star`: n* by the last step that was trained, from the boundary of the phase diagram; where that lies
between two n, their geometric mean, in the interval that they bound.
"""

import math

import pandas as pd

from diffmem.errors import InputError

from ..figures.files import Picture
from ..figures.phase import phase_diagram, phase_rows
from ..laws.boundary import boundary, boundary_words
from ..laws.family import laws
from ..laws.phase import PhaseRefused, phases, round_steps
from ..times.family import family_times
from .joined import joined
from .laws import setting_words
from .reading import Found, Reading, Request, missing


def read(request: Request) -> Reading:
    """The reader `capacity`. Raises InputError where the runs are of one n, on which no boundary lies."""
    family = joined(request.places)
    ns = sorted(set(family.runs["n"]))
    if len(ns) < 2:
        raise InputError(f"n* lies between two n, and the runs have data.n={ns[0]} alone: run more of them.")
    times = family_times(family)
    law = laws(times)["tau_mem"]
    last = int(times["tau_mem_last_step"].max())
    steps = [*(step for step in _round_steps(times) if step < last), last]
    ends = boundary(times, steps, law)
    at_last = ends[ends["step"] == last].set_index("width")
    setting = f"{setting_words(family)}, step {last:,}"
    found = {key: _found(at_last, int(key.split(".")[0]), setting) for key in request.keys}
    table = phases(times, steps)
    return Reading(found, Picture(phase_diagram(table, ends), phase_rows(table, ends)))


def _round_steps(times: pd.DataFrame) -> list[int]:
    try:
        return round_steps(times)
    except PhaseRefused:  # no run reached a time: the last step alone
        return []


def _found(ends: pd.DataFrame, width: int, setting: str) -> Found:
    if width not in ends.index:
        return missing(setting, f"no runs of W = {width}.")
    (row,) = ends.loc[[width]].to_dict("records")
    if row["status"] == "bracketed":
        return Found(row["n_star"], row["low"], row["high"], setting)
    if row["status"] == "between":
        return Found(math.sqrt(row["low"] * row["high"]), row["low"], row["high"], setting)
    return missing(setting, f"n* is {boundary_words(row)}.")
