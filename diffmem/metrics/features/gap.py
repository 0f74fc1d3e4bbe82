"""The gap ratio d1/d2 in a feature space: copies that pixels miss, or resemblance that pixels overstate.

Features of an image are its coordinates along the leading principal components of reference images, as many as hold
90% of their variance. Direction: lower ratio, higher share = more memorized.
Source: the gap ratio of Yoon et al. 2023, in features as in Somepalli et al. 2023, "Diffusion art or digital
forgery?"; any `project` may be given, such as a network's.

Letters: M samples, n training images, d values in one image, D features.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from diffmem.errors import InputError
from diffmem.metrics.search import NearestTwo, TrainingIndex

Projection = Callable[[Tensor], Tensor]
SHARE = 0.9
_LIMIT = 1024  # reference images: their products fit in memory at any d


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


def feature_nearest(samples: Tensor, index: TrainingIndex, project: Projection) -> NearestTwo:
    """The two distinct training images of `index` nearest to each of `samples` [M, ...] in features.

    Images that equal one another are set aside before they are projected: rounding would tell their features apart.
    """
    found = TrainingIndex(project(index.rows(index.distinct))).nearest_two(project(samples))
    return NearestTwo(found.d1, found.d2, index.distinct[found.i1], index.distinct[found.i2])
