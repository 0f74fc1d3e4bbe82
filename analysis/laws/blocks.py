"""Arms beside a control in a few paired replicates: a randomized block design by least squares.

    y_ar = m + arm_a + replicate_r + e_ar,   e_ar independent, of one variance for all arms

The control is an arm, whose effect is 0. Its error is in every difference, and the design counts it so: one arm alone
gives the paired t interval exactly, several share one estimate of the variance, with N - A - R + 1 degrees of freedom
(A arms and R replicates in N cells). Beside it stands each arm's own paired interval, which asks nothing of the others.
What a run owes to its initialization, its batches and its samples is in e_ar.

Source: Fisher 1935, "The design of experiments", chapter 4; Holm 1979 for the p-values of many arms.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from diffmem.stats.paired import holm

Array = NDArray[np.float64]
COLUMNS = ("effect", "low", "high", "p", "p_holm", "dof", "pairs", "own_low", "own_high")


@dataclass(frozen=True)
class Blocks:
    """`table` has a row an arm with COLUMNS (95% intervals), `scatter` is the standard deviation of e_ar, or NaN."""

    table: pd.DataFrame
    scatter: float


def compare(differences: pd.DataFrame, untested: tuple[str, ...] = ()) -> Blocks:
    """The effect of every arm, from `differences` to the control: a row an arm, a column a replicate, NaN if unknown.

    Arms `untested` (a placebo) count in the variance but not in Holm's correction. An arm in fewer than two replicates
    has no effect, and no interval comes from a design without degrees of freedom.
    """
    used = differences[differences.notna().sum(axis=1) >= 2]
    effect, error, dof, scatter = _fit(used.to_numpy(np.float64))
    half = student.ppf(0.975, dof) * error if dof > 0 else np.full(len(used), np.nan)
    table = pd.DataFrame({"effect": effect, "low": effect - half, "high": effect + half}, index=used.index)
    with np.errstate(divide="ignore", invalid="ignore"):
        table["p"] = 2 * student.sf(np.abs(effect) / error, dof) if dof > 0 else np.nan
    tested = table.index.difference(list(untested), sort=False) if dof > 0 else table.index[:0]
    table["p_holm"] = pd.Series(holm(table.loc[tested, "p"].to_list()), index=tested, dtype=np.float64)
    table["dof"], table["pairs"] = dof, used.notna().sum(axis=1)
    pairs = table["pairs"].to_numpy()
    own = student.ppf(0.975, pairs - 1) * used.std(axis=1, ddof=1) / np.sqrt(pairs)
    table["own_low"], table["own_high"] = used.mean(axis=1) - own, used.mean(axis=1) + own
    return Blocks(table.reindex(differences.index)[list(COLUMNS)], scatter)


def _fit(differences: Array) -> tuple[Array, Array, int, float]:
    """Effects [A] and their standard errors [A], degrees of freedom, and the scatter of one cell."""
    arms, replicates = differences.shape
    cells = np.vstack([np.where(np.isnan(differences).all(axis=0), np.nan, 0.0), differences])  # the control in front
    arm, replicate = np.nonzero(~np.isnan(cells))
    x = np.hstack([np.eye(replicates)[replicate], np.eye(1 + arms)[arm][:, 1:]])
    x = x[:, x.any(axis=0)]
    y = cells[arm, replicate]
    dof = len(y) - x.shape[1]
    if not arms or dof < 1:
        return np.nanmean(differences, axis=1) if arms else np.empty(0), np.full(arms, np.nan), 0, np.nan
    inverse = np.linalg.inv(x.T @ x)
    b = inverse @ x.T @ y
    scatter = float(np.sqrt(np.square(y - x @ b).sum() / dof))
    return b[-arms:], scatter * np.sqrt(np.diag(inverse)[-arms:]), dof, scatter
