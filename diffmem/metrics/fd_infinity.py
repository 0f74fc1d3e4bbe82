"""The Fréchet distance that ever more samples would have (FD-infinity): a line in 1/m, read at 1/m = 0.

    FD_m = FD_infinity + b / m

FD_m is the mean over the g parts of m = M / g samples that M samples fall into, for g = 1, 2, ... up to PARTS or while
a part has 2 D. So every sample counts at every m, and the value scatters hardly more than FD_M (the source draws
random subsets, whose scatter is then in the value too). What is taken off is the bias of finitely many samples; that of
finitely many test images stays, the same for all.

Letters: M samples, D features.
Source: Chong and Forsyth 2020, "Effectively unbiased FID and Inception Score and where to find them".
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from diffmem.errors import InputError
from diffmem.metrics.frechet import distance_to, frechet_jackknife, statistics

PARTS = 5
_BLOCKS = 20  # of the jackknife


class Extrapolated(NamedTuple):
    value: float
    low: float
    high: float


def least(dim: int) -> int:
    """Samples that an extrapolation of `dim` features needs: two parts of 2 D."""
    return 4 * dim


def fd_infinity(features: np.ndarray, mu_ref: np.ndarray, cov_ref: np.ndarray, *, level: float = 0.95) -> Extrapolated:
    """FD-infinity of features [M, D] to a reference mean [D] and covariance [D, D], with its interval at `level`.

    Its variance is that of the samples (the jackknife of FD_M) plus that of the line. It may be below zero, as an
    estimate without bias of a small distance must. Raises InputError for M < 4 D and as `frechet` does.
    """
    count, dim = features.shape
    if count < least(dim):
        raise InputError(
            f"{count} samples are too few to extrapolate a Frechet distance of {dim} features: draw at least "
            f"{least(dim)} (eval.samples)."
        )
    distance = distance_to(mu_ref, cov_ref)
    parts = np.arange(1, min(PARTS, count // (2 * dim)) + 1)
    found = [np.mean([distance(*statistics(part)) for part in np.array_split(features, g)]) for g in parts]
    value, line_error = _intercept(parts / count, np.array(found))
    sampled = frechet_jackknife(features, mu_ref, cov_ref, blocks=_BLOCKS, level=level)
    quantile = float(stdtrit(_BLOCKS - 1, (1 + level) / 2))
    half = math.hypot(sampled.high - found[0], quantile * line_error)
    return Extrapolated(value, value - half, value + half)


def _intercept(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Least squares y = a + b x: a and its standard error, which two points do not show."""
    design = np.stack([np.ones_like(x), x], axis=1)
    fit, *_ = np.linalg.lstsq(design, y, rcond=None)
    variance = float(np.sum((y - design @ fit) ** 2)) / max(len(x) - 2, 1)
    return float(fit[0]), math.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0])
