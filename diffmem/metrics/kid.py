"""Kernel inception distance (KID), and the same in any features: the unbiased squared MMD of a polynomial kernel.

    k(x, y) = (x . y / D + 1)^3

All samples and all test images enter at once, where other codes average over random subsets of 1,000: the expectation
is the same, the scatter less. In the units of those codes (not times 1000).

Letters: M samples, N test images, D features.
Source: Binkowski et al. 2018, "Demystifying MMD GANs".
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from diffmem.errors import InputError
from diffmem.metrics.mmd import squared_mmd

LEAST = 3  # samples, and test images
_TILE = 1024


@dataclass(frozen=True, eq=False)
class PolynomialDistance:
    """What the distances to one set of test images share; `PolynomialDistance.to(features)` makes it."""

    features: Tensor  # [N, D] float64
    self_mean: float  # mean_{i != j} k(y_i, y_j)

    @classmethod
    def to(cls, features: np.ndarray) -> Self:
        """Distances to test images with `features` [N, D]. Raises InputError for fewer than LEAST."""
        y = _checked(features)
        return cls(y, float(_sums_of_others(y).sum()) / (len(y) * (len(y) - 1)))

    def __call__(self, features: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
        """(value, low, high) of samples with `features` [M, D], at `level`. Raises InputError for fewer than LEAST."""
        x = _checked(features)
        return squared_mmd(_sums_of_others(x), _sums(x, self.features) / len(self.features), self.self_mean, level)


def _checked(features: np.ndarray) -> Tensor:
    rows = torch.from_numpy(np.asarray(features, dtype=np.float64))
    if len(rows) < LEAST:
        raise InputError(f"{len(rows)} images give no KID: it needs at least {LEAST}.")
    if not bool(rows.isfinite().all()):
        raise InputError("KID needs finite features: some hold NaN or infinite values.")
    return rows


def _kernel(dots: Tensor, dim: int) -> Tensor:
    return (dots / dim + 1) ** 3


def _sums(x: Tensor, y: Tensor) -> Tensor:
    """sum_j k(x_i, y_j) [M], by tiles of both."""
    dim = x.shape[1]
    sums = [torch.stack([_kernel(a @ b.T, dim).sum(1) for b in y.split(_TILE)]).sum(0) for a in x.split(_TILE)]
    return torch.cat(sums)


def _sums_of_others(x: Tensor) -> Tensor:
    """sum_{j != i} k(x_i, x_j) [M]"""
    return _sums(x, x) - _kernel(x.square().sum(1), x.shape[1])
