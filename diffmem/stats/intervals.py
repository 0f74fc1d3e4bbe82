"""Intervals of fractions and of smooth statistics (numpy and scipy only).

wilson              interval of a binomial fraction, never of zero width
wilson_mean         the same of a mean of values between 0 and 1 whose standard error is known
effective_size      the samples behind such an interval
bootstrap_fraction  the same by resampling the samples
jackknife           interval of a smooth statistic from its values with one block of samples left out
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit


def wilson(count: float, total: float, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a fraction, `count` out of `total`, at confidence `level`.

    Its width is positive at a count of 0 and of `total` too. Returns (low, high) with
    0 <= low <= count / total <= high <= 1. Raises ValueError unless 0 <= count <= total and total >= 1.
    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    _check_fraction(count, total)
    z = float(ndtri((1 + level) / 2))
    centre = count + z**2 / 2
    half = z * math.sqrt(count * (total - count) / total + z**2 / 4)
    low = 0.0 if count == 0 else (centre - half) / (total + z**2)
    high = 1.0 if count == total else (centre + half) / (total + z**2)
    return low, high


def wilson_mean(value: float, error: float, total: int, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a mean of `total` values in [0, 1] with standard error `error`, at confidence `level`.

    It is that of a fraction of an effective number of samples: `total` over the design effect, the variance of the
    mean over that of a fraction. One sample of the variance of a fraction is added to both, so that equal values,
    whose scatter says nothing, get the interval of a fraction. Returns (low, high). Raises ValueError unless
    0 <= value <= 1 and total >= 1.
    Source: Korn and Graubard 1998, "Confidence intervals for proportions with small expected number of positive
    counts estimated from survey data".
    """
    _check_fraction(value * total, total)
    effect = (total**2 * error**2 + 1) / (total * value * (1 - value) + 1)
    return wilson(value * total / effect, total / effect, level)


def effective_size(value: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray[np.float64]:
    """The number of samples of which a Wilson 95% interval of a fraction `value` has the ends `low` and `high`."""
    p, half = np.asarray(value, dtype=np.float64), (np.asarray(high) - np.asarray(low)) / 2
    z2, w2 = float(ndtri(0.975)) ** 2, half**2
    linear = z2 * (2 * w2 - p * (1 - p))  # of the square of Wilson's half width, solved for the number
    root: NDArray[np.float64] = (np.sqrt(linear**2 - 4 * w2 * z2**2 * (w2 - 0.25)) - linear) / (2 * w2)
    return root


def bootstrap_fraction(
    count: int, total: int, *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of a fraction, `count` out of `total`, at confidence `level`.

    Drawing `total` indicators with replacement and counting them is one binomial draw, so no sample is touched.
    Its width is zero at a count of 0 or of `total`, so it covers a rare fraction only where one was seen at all (0.33
    for 0.002 of 200): it shows the scatter of resamples, and `wilson` is the interval to decide by.
    Returns (low, high). Raises ValueError unless 0 <= count <= total, total >= 1 and resamples >= 1.
    Source: Efron 1979, "Bootstrap methods: another look at the jackknife".
    """
    _check_fraction(count, total)
    if resamples < 1:
        raise ValueError(f"resamples={resamples}: a bootstrap needs at least one.")
    draws = np.random.default_rng(seed).binomial(total, count / total, size=resamples) / total
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def jackknife(
    estimate: float, left_out: Sequence[float], sizes: Sequence[int], level: float = 0.95
) -> tuple[float, float]:
    """Delete-block jackknife interval around `estimate`, at confidence `level`.

    `left_out[j]` is the statistic without block j, and `sizes[j]` the number of samples in block j (blocks need
    not be equal). The interval is `estimate` plus and minus Student's quantile times the standard error, so it
    always holds its own estimate. Returns (low, high). Raises ValueError for fewer than two blocks.
    Source: Busing, Meijer and van der Leeden 1999, "Delete-m jackknife for unequal m", Eq. 8.
    """
    theta, block = np.asarray(left_out, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    blocks = len(theta)
    if blocks < 2 or len(block) != blocks:
        raise ValueError(f"{blocks} values and {len(block)} block sizes: a jackknife needs two blocks or more.")
    ratio = block.sum() / block
    pseudo = ratio * estimate - (ratio - 1) * theta
    centre = blocks * estimate - float(np.sum((1 - 1 / ratio) * theta))
    variance = float(np.mean((pseudo - centre) ** 2 / (ratio - 1)))
    half = float(stdtrit(blocks - 1, (1 + level) / 2)) * math.sqrt(variance)
    return float(estimate - half), float(estimate + half)


def _check_fraction(count: float, total: float) -> None:
    if not (total > 0 and 0 <= count <= total):
        raise ValueError(f"{count:g} out of {total:g} is no fraction: the total must be above 0 and the count within.")
