"""Features of images by name: what a Frechet distance is taken in. Images come in [0, 1] pixels, whatever the model.

    fd_pixels   the pixels themselves; right for d <= 64
    fd_pca64    projection on the 64 leading principal components of real images outside the test split

Letters: M images, d values in one image, D features.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.linalg
from torch import Tensor

from diffmem.errors import InputError

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


def extractor(name: str, fit_images: Tensor) -> Extractor:
    """The extractor called `name`, fitted to `fit_images` [N, ...] (pixels, outside the test split).

    Raises InputError for an unknown name and for images too few or too small to fit it.
    """
    return _kind(name).build(fit_images)


def dimension(name: str, d: int) -> int:
    """Number of features that `name` makes of an image of `d` values. Raises InputError for an unknown name."""
    return _kind(name).dim or d


def automatic(d: int) -> str:
    """The name that `eval.quality=auto` stands for with images of `d` values."""
    return "fd_pixels" if d <= 64 else "fd_pca64"


def _kind(name: str) -> "_Kind":
    if name not in EXTRACTORS:
        raise InputError(f"eval.quality={name} is not one of auto, {', '.join(EXTRACTORS)}.")
    return EXTRACTORS[name]


def _pixels(fit_images: Tensor) -> Extractor:
    dim = fit_images[0].numel()
    return Extractor("fd_pixels", dim, _checksum("fd_pixels", np.array([dim])), lambda rows: rows)


def _pca64(fit_images: Tensor) -> Extractor:
    images = fit_images.detach().flatten(1).cpu().double().numpy()
    mean = images.mean(axis=0)
    basis = _leading_components(images - mean, 64)
    return Extractor("fd_pca64", 64, _checksum("fd_pca64", mean, basis), lambda rows: (rows - mean) @ basis)


def _leading_components(centred: np.ndarray, count: int) -> np.ndarray:
    """Unit vectors [d, count] of largest variance of `centred` [N, d], each with its largest entry positive."""
    images, size = centred.shape
    small = min(images, size)
    values = np.zeros(count)
    if small >= count:
        matrix = centred.T @ centred if size <= images else centred @ centred.T
        values, vectors = scipy.linalg.eigh(matrix, subset_by_index=[small - count, small - 1])
    if values[0] <= 1e-10 * values[-1]:
        raise InputError(
            f"fd_pca{count} needs images that vary in at least {count} directions, and the {images} images of "
            f"{size} values do not: use eval.quality=fd_pixels or more images."
        )
    vectors = vectors[:, ::-1] if size <= images else centred.T @ (vectors / np.sqrt(values))[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    return vectors * np.sign(vectors[largest, np.arange(count)])


def _checksum(name: str, *arrays: np.ndarray) -> str:
    digest = hashlib.sha256(name.encode())
    for array in arrays:
        digest.update((np.round(array, _DECIMALS) + 0.0).astype("<f8").tobytes(order="C"))
    return digest.hexdigest()


class _Kind(NamedTuple):
    dim: int | None  # None: as many as the image has values
    build: Callable[[Tensor], Extractor]


EXTRACTORS = {"fd_pixels": _Kind(None, _pixels), "fd_pca64": _Kind(64, _pca64)}
