"""What a Frechet distance is taken in: an `Extractor` turns images into features, and has a checksum of its own.

Letters: M images, d values in one image, D features.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

_TILE = 1024
_DECIMALS = 3  # of the basis in its checksum: far above rounding error, far below a different basis


@dataclass(frozen=True)
class Extractor:
    """Pixels [M, ...] -> features [M, dim], float64. `sha256` tells one basis from another under the same name."""

    name: str
    dim: int
    sha256: str
    project: Callable[[np.ndarray], np.ndarray]

    def __call__(self, pixels: Tensor) -> np.ndarray:
        rows = pixels.detach().flatten(1).cpu()
        return np.concatenate([self.project(tile.double().numpy()) for tile in rows.split(_TILE)])


def checksum(name: str, *arrays: np.ndarray) -> str:
    """SHA-256 of a name and of what its projection is made of, rounded to _DECIMALS."""
    digest = hashlib.sha256(name.encode())
    for array in arrays:
        digest.update((np.round(array, _DECIMALS) + 0.0).astype("<f8").tobytes(order="C"))
    return digest.hexdigest()
