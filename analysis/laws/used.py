"""The runs of a table of times that a law can use: reached, or known to lie beyond a step."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from .scaling import CENSORING
from .tobit import Array


class Used(NamedTuple):
    """`runs` are rows of the table; `tau` [N] in steps, for a censored run the step it lies beyond; `status` [N]."""

    runs: pd.DataFrame
    tau: Array
    status: list[str]

    @property
    def n_reached(self) -> int:
        return self.status.count("reached")


def used_times(times: pd.DataFrame, name: str) -> Used:
    """The runs with a time `name` that a law can use; `times` has the columns of `timescales.csv`."""
    runs = times[times[f"{name}_status"].isin(list(CENSORING)) & (times[f"{name}_bound"] > 0)]
    reached = runs[f"{name}_status"] == "reached"
    return Used(runs, np.where(reached, runs[name], runs[f"{name}_bound"]), list(runs[f"{name}_status"]))
