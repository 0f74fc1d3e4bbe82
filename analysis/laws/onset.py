"""When the losses on train and test images part, at every diffusion time t that was measured.

    gap(τ, t) = (L_test - L_train)(τ, t) / (L_test(0, t) - best L_test(., t))

in units of what was learned at that t. The onset at t is the first τ at which the gap comes to GAP and stays there, the
`loss_gap` of definitions, between two checkpoints linearly in log τ. Over the runs of one n and W the onset is the mean
of log τ with Student's interval; a run that has not come to it leaves the mean unknown.

Which t is first: onsets of one run are compared with each other, so what a run owes to its subset and seed falls out
(the design of `blocks`, whose arms are diffusion times and whose replicates are runs).
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from diffmem.stats.monotone import crossing_times

from ..times.tau_mem import GAP
from .blocks import compare

RUN = ["run", "n", "width", "seed", "index"]
SURE = 0.05  # Holm's p below which a diffusion time is later than the first


@dataclass(frozen=True)
class First:
    """The diffusion time of the earliest onset, and those that are not surely later (the first among them)."""

    t: int
    among: tuple[int, ...]
    runs: int


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
            if run["step"].iloc[0] == 0 and fall > 0:
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


def first(each: pd.DataFrame) -> First | None:
    """Where in t the losses part first, over all runs of `run_onsets`; None where no run parts at two t.

    A t that some run has not come to is later than all that it has.
    """
    logs = np.log(
        each.assign(onset=each["onset"].where(each["onset"] > 0)).pivot(index="t", columns="run", values="onset")
    )
    logs = logs.loc[:, np.isfinite(logs).any()]
    known = logs[np.isfinite(logs).all(axis=1)]
    if len(known) < 2 or known.shape[1] < 2:
        return None
    t = known.mean(axis=1).idxmin()
    later = compare(known.drop(index=t) - known.loc[t]).table
    among = [t, *later.index[~((later["p_holm"] < SURE) & (later["effect"] > 0))]]
    return First(int(t), tuple(sorted(int(one) for one in among)), known.shape[1])
