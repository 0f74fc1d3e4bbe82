"""The squared maximum mean discrepancy without bias, and its interval, from sums of a kernel k.

    D = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)

A U-statistic on both sides: its expectation does not move with M or N, and it is negative about as often as positive
where x and y have one law.

Letters: M samples x, N test images y.
Source: Gretton et al. 2012, "A kernel two-sample test", Lemma 6.
"""

import math

from scipy.special import ndtri
from torch import Tensor


def squared_mmd(own: Tensor, across: Tensor, self_mean: float, level: float = 0.95) -> tuple[float, float, float]:
    """D and its interval at `level`: (value, low, high).

    own: [M] sum_{j != i} k(x_i, x_j); across: [M] mean_j k(x_i, y_j); self_mean: mean_{i != j} k(y_i, y_j). M >= 3.
    The interval speaks of the samples alone, y taken as given, so that checkpoints, which are all measured on the same
    images, compare. It is the jackknife of the U-statistic with blocks of one sample, in closed form.
    """
    count = len(own)
    value = float((own.mean() / (count - 1) - 2 * across.mean()) + self_mean)
    # without sample i
    pairs = (own.sum() - 2 * own) / ((count - 1) * (count - 2))
    left_out = pairs - 2 * (across.sum() - across) / (count - 1)
    error = math.sqrt((count - 1) / count * float((left_out - left_out.mean()).square().sum()))
    half = float(ndtri((1 + level) / 2)) * error
    return value, value - half, value + half
