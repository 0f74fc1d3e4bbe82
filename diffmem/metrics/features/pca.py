"""Principal components of real images as features: a fixed number of them, or as many as hold a share of the variance.

`pca64` is an extractor, whose numbers are compared between runs and machines: it solves for its 64 components alone, on
the smaller of the two products, and fixes their signs, so that the basis has a checksum. `principal_components` is for
distances between images, which know no sign, and needs the whole spectrum to see how many components hold the share.

Letters: N images to fit, M images, d values in one image, D features.
"""

from collections.abc import Callable

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from diffmem.errors import InputError
from diffmem.metrics.features.base import Extractor, checksum, flat

Projection = Callable[[Tensor], Tensor]

SHARE = 0.9
_LIMIT = 1024  # reference images: their products fit in memory at any d


def pca64(fit_images: Tensor) -> Extractor:
    """The extractor `pca64`: projection on the 64 leading principal components of `fit_images` [N, ...].

    Raises InputError where they vary in fewer than 64 directions.
    """
    images = flat(fit_images.detach())
    mean = images.mean(axis=0)
    basis = _leading_components(images - mean, 64)
    return Extractor("pca64", 64, checksum("pca64", mean, basis), lambda tile: (flat(tile) - mean) @ basis)


def principal_components(reference: Tensor, share: float = SHARE) -> Projection:
    """Images [M, ...] -> features float64 [M, D], fitted to the first 1,024 of `reference` [N, ...].

    Raises InputError where the reference images are all the same.
    """
    images = reference[:_LIMIT].flatten(1).double().cpu()
    mean = images.mean(0)
    centred = images - mean
    values, vectors = torch.linalg.eigh(centred @ centred.T)  # N x N, whatever d
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    if values[0] <= 0:
        raise InputError(f"{len(images)} equal images span no feature space: give images that differ.")
    count = int((values.cumsum(0) < share * values.sum()).sum()) + 1
    basis = centred.T @ (vectors[:, :count] / values[:count].sqrt())  # [d, D], unit columns

    def project(pixels: Tensor) -> Tensor:
        return torch.cat([(part.double().cpu() - mean) @ basis for part in pixels.flatten(1).split(_LIMIT)])

    return project


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
            f"pca{count} needs images that vary in at least {count} directions, and the {images} images of "
            f"{size} values do not: use the pixels (eval.quality=fd_pixels) or more images."
        )
    vectors = vectors[:, ::-1] if size <= images else centred.T @ (vectors / np.sqrt(values))[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    return vectors * np.sign(vectors[largest, np.arange(count)])
