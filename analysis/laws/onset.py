"""When the losses on train and test images part, at every diffusion time t that was measured.

    gap(τ, t) = (L_test - L_train)(τ, t) / (L_test(0, t) - best L_test(., t))

in units of what was learned at that t. The onset at t is the first τ at which the gap comes to GAP and stays there, the
`loss_gap` of definitions, between two checkpoints linearly in log τ. Over the runs of one n and W the onset is the mean
of log τ with Student's interval; a run that has not come to it leaves the mean unknown.

Where in t it begins first: the slope of log onset against log t within a run, over the t that it has come to. Above 0
the losses part at small t first, where there is least noise. A t at which a run learned next to nothing is left out.
"""

import re
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t as student

from diffmem.stats.monotone import crossing_times

from ..times.tau_mem import GAP

RUN = ["run", "n", "width", "seed", "index"]
LEARNED = 0.1  # least part of the test loss at step 0 that is learned at a t that counts
LEAST = 3  # diffusion times that make a slope


def loss_times(rows: pd.DataFrame) -> list[int]:
    """The diffusion times at which losses of train and test images were measured, in order."""
    found = [re.fullmatch(r"loss_test_t(\d+)", str(name)) for name in rows]
    return sorted(int(one[1]) for one in found if one and f"loss_train_t{one[1]}" in rows)


def gaps(rows: pd.DataFrame) -> pd.DataFrame:
    """The gap along every run that was measured at step 0: RUN, t, step, gap."""
    parts = []
    for t in loss_times(rows):
        test, train = rows[f"loss_test_t{t}"], rows[f"loss_train_t{t}"]
        part = rows[[*RUN, "step"]].assign(t=t, test=test, gap=test - train).dropna(subset=["test", "gap"])
        for _, run in part.groupby("run", sort=False):
            fall = float(run["test"].iloc[0] - run["test"].min())
            if run["step"].iloc[0] == 0 and fall > LEARNED * run["test"].iloc[0]:
                parts.append(run.assign(gap=run["gap"] / fall).drop(columns="test"))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*RUN, "step", "t", "gap"])


def run_onsets(found: pd.DataFrame) -> pd.DataFrame:
    """The onset of every run and t of `gaps`, in steps: RUN, t, onset; inf where it is not reached."""
    records = []
    for key, curve in found.groupby([*RUN, "t"], sort=False):
        onset = crossing_times(curve["step"], curve["gap"], GAP, stays=True).time[0]
        records.append((*key, float(onset)))
    return pd.DataFrame(records, columns=[*RUN, "t", "onset"])


def onsets(each: pd.DataFrame) -> pd.DataFrame:
    """The onset of every n, W and t of `run_onsets`: n, width, t, onset, low, high, runs and `reached` of them.

    NaN where a run has not come to it; the interval needs two runs.
    """
    records = []
    for key, some in each.groupby(["n", "width", "t"]):
        logs = np.log(some["onset"].where(some["onset"] > 0))
        reached = int(np.isfinite(logs).sum())
        whole = reached == len(some)
        mean = float(logs.mean()) if whole else np.nan
        half = np.nan
        if whole and reached > 1:
            half = float(student.ppf(0.975, reached - 1) * logs.std(ddof=1)) / np.sqrt(reached)
        ends = [float(np.exp(mean + one)) for one in (0, -half, half)]
        records.append((*key, *ends, len(some), reached))
    return pd.DataFrame(records, columns=["n", "width", "t", "onset", "low", "high", "runs", "reached"])


class Slope(NamedTuple):
    """d log onset / d log t, its mean over so many `runs`, in Student's 95% interval."""

    value: float
    low: float
    high: float
    runs: int


def slope(each: pd.DataFrame) -> Slope | None:
    """How the onset moves with t, over the runs of `run_onsets` that came to it at LEAST times; None of one or none."""
    found = []
    for _, run in each[np.isfinite(each["onset"]) & (each["onset"] > 0)].groupby("run"):
        if len(run) >= LEAST:
            found.append(
                float(np.polyfit(np.log(run["t"].to_numpy(float)), np.log(run["onset"].to_numpy(float)), 1)[0])
            )
    if len(found) < 2:
        return None
    mean, half = float(np.mean(found)), float(student.ppf(0.975, len(found) - 1) * np.std(found, ddof=1))
    half /= len(found) ** 0.5
    return Slope(mean, mean - half, mean + half, len(found))
