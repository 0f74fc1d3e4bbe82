"""The covariance Σ of the data, as the theory sees it: eigenvalues μ [m] and their weights [m], which sum to 1.

<.> is the average over them, so <X> = Tr X/d, and σ_x² = <μ>.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from diffmem.errors import InputError
from diffmem.theory.constants import Array

Cov = tuple[ArrayLike, ArrayLike]  # eigenvalues [m], weights [m], as a caller gives them


class Covariance(NamedTuple):
    """Distinct eigenvalues, ascending [m], and their weights [m]."""

    eigenvalues: Array
    weights: Array

    @property
    def sigma_x2(self) -> float:
        """Tr Σ/d."""
        return float(self.weights @ self.eigenvalues)


ISOTROPIC: Cov = (np.ones(1), np.ones(1))  # Σ = I


def covariance(cov: Cov | None) -> Covariance:
    """Check (eigenvalues, weights), each [m]; None is Σ = I. Equal eigenvalues are joined, which changes nothing.

    Raises InputError for shapes that differ, a negative eigenvalue or weight, weights that do not sum to 1 (to 1e-9),
    and a covariance that is zero.
    """
    eigenvalues, weights = (np.asarray(part, dtype=np.float64) for part in (ISOTROPIC if cov is None else cov))
    if eigenvalues.ndim != 1 or eigenvalues.shape != weights.shape or not eigenvalues.size:
        raise InputError(
            f"cov has eigenvalues of shape {eigenvalues.shape} and weights of shape {weights.shape}: give two lists of "
            "one length, such as ([0.5, 1.5], [0.5, 0.5])."
        )
    if not (np.isfinite(eigenvalues).all() and np.isfinite(weights).all()):
        raise InputError("cov holds NaN or infinite numbers: eigenvalues and weights must be finite.")
    if eigenvalues.min() < 0:
        raise InputError(f"cov has the eigenvalue {eigenvalues.min():g}: a covariance has none below 0.")
    if weights.min() < 0 or abs(weights.sum() - 1) > 1e-9:
        raise InputError(
            f"the weights of cov sum to {weights.sum():.12g}, the least is {weights.min():g}: they must be 0 or more "
            "and sum to 1 (divide them by their sum)."
        )
    distinct, place = np.unique(eigenvalues, return_inverse=True)
    sigma = Covariance(distinct, np.bincount(place, weights).astype(np.float64))
    if not sigma.sigma_x2 > 0:
        raise InputError("cov is zero: at least one eigenvalue with a weight must be above 0.")
    return sigma


def power_law(exponent: float, count: int) -> Covariance:
    """`count` eigenvalues k^-exponent, k = 1.. `count`, of equal weight, scaled so that <μ> = 1."""
    if count < 1:
        raise InputError(f"count={count} eigenvalues are no covariance: give at least one.")
    eigenvalues = np.arange(1, count + 1) ** -float(exponent)
    return covariance((eigenvalues / eigenvalues.mean(), np.full(count, 1 / count)))


def of_data(data: ArrayLike) -> Covariance:
    """The spectrum of XᵀX/N for centred points X [N, d]: d eigenvalues of equal weight.

    Raises InputError for anything but two points or more, and for points that are not finite.
    """
    points = np.asarray(data, dtype=np.float64)
    if points.ndim != 2 or len(points) < 2 or not np.isfinite(points).all():
        raise InputError(f"data of shape {points.shape} have no covariance: give finite points [N, d], N >= 2.")
    centred = points - points.mean(axis=0)
    eigenvalues = np.linalg.eigvalsh(centred.T @ centred / len(points))
    return covariance((np.maximum(eigenvalues, 0.0), np.full(len(eigenvalues), 1 / len(eigenvalues))))
