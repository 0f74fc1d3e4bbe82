"""Is one fraction larger than another? Exact and score methods for counts, paired or not (numpy and scipy only).

Two paired yes/no measurements of N subjects make a table of four counts:

    both   first   second   neither      (yes to both, only to the first, only to the second, to neither)

mcnemar_exact        p-value of "first and second are equally likely": only the discordant counts speak
cochran_q            the same for more than two measurements of each subject
newcombe_paired      interval of the difference of the two fractions
newcombe_unpaired    the same where the subjects are not the same
holm                 p-values of many tests, adjusted
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom, chi2

from diffmem.stats.intervals import wilson


class Difference(NamedTuple):
    """`value` = first fraction - second fraction, with its interval."""

    value: float
    low: float
    high: float


class CochranQ(NamedTuple):
    """The statistic and its p-value from chi-square with `df` degrees of freedom."""

    statistic: float
    df: int
    p: float


def mcnemar_exact(first: int, second: int) -> float:
    """Two-sided exact p-value that discordant pairs fall either way with probability 1/2.

    `first` and `second` count the pairs with yes only in the first and only in the second. Returns 1.0 where no pair
    is discordant. Raises ValueError for a negative count.
    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions"; the exact
    conditional form, a binomial test, as in Fagerland, Lydersen and Laake 2013.
    """
    if first < 0 or second < 0:
        raise ValueError(f"{first} and {second} are no counts of discordant pairs: they must be at least 0.")
    return min(1.0, 2 * float(binom.cdf(min(first, second), first + second, 0.5)))


def cochran_q(yes: ArrayLike) -> CochranQ:
    """Q of `yes`: bool [N subjects, K measurements]; the hypothesis is that all K are equally likely.

    At K = 2 it is McNemar's statistic without correction. Where every subject answers the same to all K, Q = 0 and
    p = 1. Raises ValueError for fewer than two measurements.
    Source: Cochran 1950, "The comparison of percentages in matched samples".
    """
    table = np.asarray(yes, dtype=np.int64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"Cochran's Q needs subjects x measurements, at least two of these, not {table.shape}.")
    k = table.shape[1]
    columns, rows = table.sum(axis=0), table.sum(axis=1)
    spread = float((rows * (k - rows)).sum())
    statistic = k * (k - 1) * float(((columns - columns.mean()) ** 2).sum()) / spread if spread else 0.0
    return CochranQ(statistic, k - 1, float(chi2.sf(statistic, k - 1)))


def newcombe_paired(both: int, first: int, second: int, neither: int, level: float = 0.95) -> Difference:
    """Score interval of the difference of two paired fractions, (first - second) / N, at confidence `level`.

    Square-and-add of the two Wilson intervals with the correlation phi of the table. Raises ValueError for negative
    counts and for no pairs.
    Source: Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions based on
    paired data", method 10.
    """
    counts = (both, first, second, neither)
    total = sum(counts)
    if min(counts) < 0 or total == 0:
        raise ValueError(f"{counts} are no counts of pairs: they must be at least 0, and one of them positive.")
    p1, p2 = (both + first) / total, (both + second) / total
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    product = both * neither - first * second
    corrected = max(product - total / 2, 0) if product > 0 else product
    phi = corrected / math.sqrt(margins) if margins else 0.0
    (l1, u1), (l2, u2) = wilson(both + first, total, level), wilson(both + second, total, level)

    def reach(d1: float, d2: float) -> float:
        return math.sqrt(max(d1**2 - 2 * phi * d1 * d2 + d2**2, 0.0))

    value = p1 - p2
    return Difference(value, value - reach(p1 - l1, u2 - p2), value + reach(u1 - p1, p2 - l2))


def newcombe_unpaired(count1: int, total1: int, count2: int, total2: int, level: float = 0.95) -> Difference:
    """Score interval of count1 / total1 - count2 / total2, two independent fractions, at confidence `level`.

    Raises ValueError as `stats.intervals.wilson` does.
    Source: Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10.
    """
    (l1, u1), (l2, u2) = wilson(count1, total1, level), wilson(count2, total2, level)
    p1, p2 = count1 / total1, count2 / total2
    value = p1 - p2
    return Difference(value, value - math.hypot(p1 - l1, u2 - p2), value + math.hypot(u1 - p1, p2 - l2))


def holm(p: Sequence[float]) -> NDArray[np.float64]:
    """p-values of the same tests, adjusted so that the chance of any false alarm among them is kept.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    raised = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(raised, 1.0)
    return adjusted
