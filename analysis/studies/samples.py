"""Samples of one run beside their nearest training images at its times, and the share of copies there.

A key is `start` (the last checkpoint by the run's tau_gen, or its tau_bias where quality is never reached), `middle`
(half way, in log, from there to the end) or `end` (the last checkpoint): f_mem there, with Wilson's interval.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from diffmem.errors import InputError

from ..figures.files import Picture
from ..figures.samples import samples_beside_neighbours, sheet_rows
from ..pipeline import fit
from .laws import setting_words
from .reading import Found, Reading, Request


def read(request: Request) -> Reading:
    """The reader `samples`, of the run of the largest n of one arm. Raises InputError where no samples are stored."""
    (place,) = request.places.values()
    fitted = fit(place)
    entry = fitted.family.runs.sort_values("n", kind="stable").iloc[-1]
    if entry["path"] is None:
        raise InputError(f"{place} is a table, and samples are shown of runs alone: name a folder of runs.")
    rows = fitted.family.rows[fitted.family.rows["run"] == entry["run"]].set_index("step")
    steps = _steps(rows.index.to_numpy(), fitted.times.set_index("run").loc[entry["run"]])
    setting = setting_words(fitted.family)
    found = {}
    for key in request.keys:
        share, low, high = (float(rows[f"f_mem{end}"].loc[steps[key]]) for end in ("", "_low", "_high"))
        found[key] = Found(share, low, high, f"{setting}, step {steps[key]:,}")
    sheets = [sheet for step in steps.values() if (sheet := request.images.sheet(Path(entry["path"]), step))]
    return Reading(found, Picture(samples_beside_neighbours(sheets), sheet_rows(sheets)))


def _steps(steps: np.ndarray, times: "pd.Series[float]") -> dict[str, int]:
    """The checkpoints that are shown, by the keys."""
    reached = [times[name] for name in ("tau_gen", "tau_bias") if times.get(f"{name}_status") == "reached"]
    start = max(steps[steps <= (reached[0] if reached else steps[len(steps) // 2])].max(), steps[steps > 0].min())
    middle = steps[np.abs(np.log(np.maximum(steps, 1)) - np.log(np.sqrt(start * steps[-1]))).argmin()]
    return {"start": int(start), "middle": int(middle), "end": int(steps[-1])}
