"""Frechet distance between two sets of features, taken as Gaussians: statistics, distance, interval, bias.

    d^2 = |mu1 - mu2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2))

(S1 S2)^(1/2) has the trace of (S1^(1/2) S2 S1^(1/2))^(1/2), which is the sum of the singular values of
S1^(1/2) S2^(1/2); so symmetric eigendecompositions suffice and singular covariances need no care.

The distance of M samples is larger on average than that of ever more samples, by about 1/M: its bias. The jackknife
estimates it to some percent from M = 3 D on. Nothing is taken off: distances at one M compare as they are.

Letters: M samples, D features.
Source: Dowson and Landau 1982, "The Frechet distance between multivariate normal distributions"; Heusel et al. 2017.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from diffmem.errors import InputError
from diffmem.metrics.left_out import root_traces
from diffmem.stats import intervals

MANY = 512  # features from which on the blocks of a jackknife share an eigenproblem
_SYMMETRY = 1e-8  # relative to the largest entry


class Jackknife(NamedTuple):
    """`low` and `high` are the ends of an interval of the distance that M samples have on average; `bias` is by how
    much that average is estimated to lie above the distance of ever more samples, which the interval does not cover."""

    low: float
    high: float
    bias: float


def check_size(count: int, dim: int) -> None:
    """Refuse, by InputError, fewer than two samples for each feature: the covariance would be near singular."""
    if count < 2 * dim:
        raise InputError(
            f"{count} samples are too few for a Frechet distance of {dim} features: draw at least {2 * dim} "
            "(eval.samples) or take an extractor with fewer features (eval.quality)."
        )


def statistics(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [D] and unbiased covariance [D, D], float64, of features [M, D].

    Raises InputError for M < 2 D and for NaN or infinite features.
    """
    features = _checked(features)
    mean = features.mean(axis=0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1)


def frechet_distance(mu1: np.ndarray, cov1: np.ndarray, mu2: np.ndarray, cov2: np.ndarray) -> float:
    """Frechet distance d^2 >= 0 of two Gaussians with means [D] and covariances [D, D] (units: features squared).

    Raises InputError for shapes that differ, NaN or infinite values, and matrices that are no covariance.
    """
    mu1, cov1, mu2, cov2 = (np.asarray(value, dtype=np.float64) for value in (mu1, cov1, mu2, cov2))
    dim = mu1.size
    shapes = [value.shape for value in (mu1, cov1, mu2, cov2)]
    if shapes != [(dim,), (dim, dim), (dim,), (dim, dim)] or dim == 0:
        raise InputError(f"Means and covariances of shapes {shapes} do not fit together: they must be [D] and [D, D].")
    root1, root2 = _root(cov1), _root(cov2)
    if not np.isfinite([mu1, mu2]).all():
        raise InputError("A mean holds NaN or infinite values: the features are not finite.")
    overlap = np.linalg.svd(root1 @ root2, compute_uv=False).sum()  # Tr (S1 S2)^(1/2)
    distance = np.sum((mu1 - mu2) ** 2) + np.trace(cov1) + np.trace(cov2) - 2 * overlap
    return max(float(distance), 0.0)


def distance_to(mu_ref: np.ndarray, cov_ref: np.ndarray) -> Callable[[np.ndarray, np.ndarray], float]:
    """The distance of many Gaussians, by mean [D] and covariance [D, D], to one: its root is taken once."""
    root, trace = _root(cov_ref), np.trace(cov_ref)

    def distance(mean: np.ndarray, cov: np.ndarray) -> float:
        eigenvalues = np.linalg.eigvalsh(root @ cov @ root)
        overlap = np.sqrt(np.maximum(eigenvalues, 0)).sum()
        return float(np.sum((mean - mu_ref) ** 2) + np.trace(cov) + trace - 2 * overlap)

    return distance


def frechet_jackknife(
    features: np.ndarray, mu_ref: np.ndarray, cov_ref: np.ndarray, *, blocks: int = 20, level: float = 0.95
) -> Jackknife:
    """Delete-block jackknife of the Frechet distance of features [M, D] to a reference: its interval and its bias.

    Consecutive samples make a block. Both speak of the samples alone: the reference mean [D] and covariance [D, D] are
    taken as given. The interval, at `level`, holds its own estimate and is cut at zero.
    Raises InputError as `statistics` and `frechet_distance` do, and ValueError for fewer than two blocks.
    """
    return with_jackknife(features, mu_ref, cov_ref, blocks=blocks, level=level)[1]


def with_jackknife(
    features: np.ndarray, mu_ref: np.ndarray, cov_ref: np.ndarray, *, blocks: int = 20, level: float = 0.95
) -> tuple[float, Jackknife]:
    """The Frechet distance of features [M, D] to a reference, and its `frechet_jackknife`.

    From MANY features on, all blocks share one eigenproblem: both then are those of the definition to
    `left_out.RELATIVE` of the trace of the square root of S1 S2, before the jackknife takes their differences.
    """
    features = _checked(features)
    mean, cov = statistics(features)
    centred = features - mean
    parts = np.array_split(centred, min(blocks, len(centred)))
    sizes = [len(block) for block in parts]
    if len(mean) < MANY:
        estimate = frechet_distance(mean, cov, mu_ref, cov_ref)
        left_out = _left_out(mean, centred, parts, distance_to(mu_ref, cov_ref))
    else:
        estimate, left_out = _of_many(mean, centred, parts, mu_ref, cov_ref)
    low, high = intervals.jackknife(estimate, left_out, sizes, level)
    # Quenouille 1956; for blocks that are not equal, Busing, Meijer and van der Leeden 1999, Eq. 5
    bias = float(np.sum((1 - np.array(sizes) / len(features)) * left_out)) - (len(sizes) - 1) * estimate
    return estimate, Jackknife(max(low, 0.0), high, bias)


def _left_out(
    mean: np.ndarray,
    centred: np.ndarray,
    parts: Sequence[np.ndarray],
    distance: Callable[[np.ndarray, np.ndarray], float],
) -> list[float]:
    """The distance without each block, from an eigenproblem for each."""
    scatter = centred.T @ centred
    found = []
    for block in parts:
        rest = len(centred) - len(block)
        shift = -block.sum(axis=0) / rest
        cov = (scatter - block.T @ block - rest * np.outer(shift, shift)) / (rest - 1)
        found.append(distance(mean + shift, cov))
    return found


def _of_many(
    mean: np.ndarray, centred: np.ndarray, parts: Sequence[np.ndarray], mu_ref: np.ndarray, cov_ref: np.ndarray
) -> tuple[float, list[float]]:
    """The distance, and that without each block: Tr (S1 S2)^(1/2) from the samples turned by S_ref^(1/2)."""
    whole, without = root_traces(centred @ _root(cov_ref), [len(block) for block in parts])
    squares, trace = np.square(centred).sum(), np.trace(cov_ref)

    def distance(mean: np.ndarray, variance: float, overlap: float) -> float:
        return float(np.sum((mean - mu_ref) ** 2) + variance + trace - 2 * overlap)

    count, found = len(centred), []
    for block, root in zip(parts, without, strict=True):
        rest = count - len(block)
        shift = -block.sum(axis=0) / rest
        variance = (squares - np.square(block).sum() - rest * np.sum(shift**2)) / (rest - 1)
        found.append(distance(mean + shift, variance, root / math.sqrt(rest - 1)))
    return max(distance(mean, squares / (count - 1), whole / math.sqrt(count - 1)), 0.0), found


def _checked(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or features.size == 0:
        raise InputError(f"Features of shape {features.shape} are not [samples, features].")
    check_size(*features.shape)
    bad = int((~np.isfinite(features).all(axis=1)).sum())
    if bad:
        raise InputError(f"{bad} of {len(features)} samples have NaN or infinite features: the model has diverged.")
    return features


def _root(cov: np.ndarray) -> np.ndarray:
    """Symmetric square root of a covariance [D, D]."""
    if not np.isfinite(cov).all():
        raise InputError("A covariance holds NaN or infinite values: the features are not finite.")
    largest = np.abs(cov).max()
    if np.abs(cov - cov.T).max() > _SYMMETRY * largest:
        raise InputError("A covariance is not symmetric: take it from `statistics`.")
    values, vectors = np.linalg.eigh(cov)
    if values[0] < -_SYMMETRY * largest * len(cov):
        raise InputError(f"A covariance has the negative eigenvalue {values[0]:.3g}: take it from `statistics`.")
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
