"""Frechet distance between two sets of features, taken as Gaussians: statistics, distance, interval.

    d^2 = |mu1 - mu2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2))

(S1 S2)^(1/2) has the trace of (S1^(1/2) S2 S1^(1/2))^(1/2), which is the sum of the singular values of
S1^(1/2) S2^(1/2); so symmetric eigendecompositions suffice and singular covariances need no care.

Letters: M samples, D features.
Source: Dowson and Landau 1982, "The Frechet distance between multivariate normal distributions"; Heusel et al. 2017.
"""

import numpy as np

from diffmem.errors import InputError
from diffmem.stats import intervals

_SYMMETRY = 1e-8  # relative to the largest entry


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


def frechet_jackknife(
    features: np.ndarray, mu_ref: np.ndarray, cov_ref: np.ndarray, *, blocks: int = 20, level: float = 0.95
) -> tuple[float, float]:
    """Delete-block jackknife interval of the Frechet distance of features [M, D] to a reference, at `level`.

    Consecutive samples make a block. The interval speaks of the samples alone: the reference mean [D] and
    covariance [D, D] are taken as given. It holds its own estimate and is cut at zero. Returns (low, high).
    Raises InputError as `statistics` and `frechet_distance` do, and ValueError for fewer than two blocks.
    """
    features = _checked(features)
    mean, cov = statistics(features)
    estimate = frechet_distance(mean, cov, mu_ref, cov_ref)
    centred = features - mean
    scatter = centred.T @ centred
    root, trace = _root(cov_ref), np.trace(cov_ref)
    left_out, sizes = [], []
    for block in np.array_split(centred, min(blocks, len(centred))):
        rest = len(centred) - len(block)
        shift = -block.sum(axis=0) / rest
        cov = (scatter - block.T @ block - rest * np.outer(shift, shift)) / (rest - 1)
        eigenvalues = np.linalg.eigvalsh(root @ cov @ root)
        overlap = np.sqrt(np.maximum(eigenvalues, 0)).sum()
        left_out.append(float(np.sum((mean + shift - mu_ref) ** 2) + np.trace(cov) + trace - 2 * overlap))
        sizes.append(len(block))
    low, high = intervals.jackknife(estimate, left_out, sizes, level)
    return max(low, 0.0), high


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
