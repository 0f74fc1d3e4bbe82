"""What a distance is taken in: an `Extractor` turns images into features, and says what they are made with.

Letters: M images, d values in one image, D features.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

_TILE = 1024
_DECIMALS = 3  # of the basis in its checksum: far above rounding error, far below a different basis


@dataclass(frozen=True)
class Extractor:
    """Images [M, ...] in [0, 1] pixels -> features [M, dim], float64.

    `name` is that of the space, the end of the columns measured in it. `sha256` is of the weights of a network, or of
    the basis that was fitted; `network` is what else decides its features ({} where there is no network): the size it
    expects, how images are resized to it, whether gray is repeated in three channels. `device` is where it runs.
    """

    name: str
    dim: int
    sha256: str
    project: Callable[[Tensor], np.ndarray]
    network: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"

    def __call__(self, pixels: Tensor) -> np.ndarray:
        return np.concatenate([self.project(tile) for tile in pixels.detach().split(_TILE)])


def flat(tile: Tensor) -> np.ndarray:
    """Images [M, ...] as rows [M, d], float64."""
    rows: np.ndarray = tile.flatten(1).cpu().double().numpy()
    return rows


def checksum(name: str, *arrays: np.ndarray) -> str:
    """SHA-256 of a name and of what its projection is made of, rounded to _DECIMALS."""
    digest = hashlib.sha256(name.encode())
    for array in arrays:
        digest.update((np.round(array, _DECIMALS) + 0.0).astype("<f8").tobytes(order="C"))
    return digest.hexdigest()
