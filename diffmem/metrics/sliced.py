"""Sliced Wasserstein distance: how far samples must be moved to become test images, seen along random lines.

    SW = ( mean over unit vectors u of W_2^2(x . u, y . u) )^(1/2)

In one dimension W_2^2 is the mean squared difference of quantiles, exact for any M and N. It is in the units of the
features. For one law it is no zero but falls as 1/sqrt(M): it compares at one M, with its bookends beside it.

Letters: M samples, N test images, D features, L lines.
Source: Rabin et al. 2011, "Wasserstein barycenter and its application to texture mixing"; Bonneel et al. 2015.
"""

from typing import NamedTuple

import numpy as np

from diffmem import rng
from diffmem.errors import InputError
from diffmem.stats import intervals

LINES = 128
LEAST = 20  # samples: one for each block of the jackknife


class Sliced(NamedTuple):
    value: float
    low: float
    high: float


def sliced_wasserstein(samples: np.ndarray, images: np.ndarray, *, level: float = 0.95) -> Sliced:
    """SW of features `samples` [M, D] to `images` [N, D], with a delete-block jackknife interval over the samples.

    The lines are keyed, so every set is seen along the same ones. Raises InputError for M < LEAST, or NaN.
    """
    if len(samples) < LEAST or not (np.isfinite(samples).all() and np.isfinite(images).all()):
        raise InputError(f"A sliced Wasserstein distance needs at least {LEAST} samples, of finite features.")
    lines = directions(samples.shape[1])
    x, y = samples @ lines.T, np.sort(images @ lines.T, axis=0)  # [M, L], [N, L]
    blocks = np.arange(len(x)) * LEAST // len(x)
    left_out = [_distance(x[blocks != block], y) for block in range(LEAST)]
    value = _distance(x, y)
    low, high = intervals.jackknife(value, left_out, np.bincount(blocks).tolist(), level)
    return Sliced(value, max(low, 0.0), high)


def directions(dim: int) -> np.ndarray:
    """The unit vectors of the lines, [L, D]."""
    drawn: np.ndarray = rng.normal((LINES, dim), "sliced wasserstein").double().numpy()
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _distance(x: np.ndarray, y: np.ndarray) -> float:
    """Of projections x [M, L], in any order, and y [N, L], ascending."""
    count, images = len(x), len(y)
    # levels at which one of the two quantile functions steps, in units of 1 / (M N), so that equal ones are equal
    levels = np.union1d(np.arange(count + 1) * images, np.arange(images + 1) * count)
    weight = np.diff(levels) / (count * images)
    apart = np.sort(x, axis=0)[levels[:-1] // images] - y[levels[:-1] // count]
    return float(np.sqrt(np.mean(weight @ apart**2)))
