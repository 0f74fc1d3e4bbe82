"""Density and coverage: what precision and recall say, without being ruled by outliers.

A ball about each test image reaches to its k-th nearest other one.

    density   balls that a sample lies in, over k, mean over samples; 1 where samples have the law of the images
    coverage  share of test images with a sample in their ball

Density does not move with M. Coverage does: with one law its mean is `expected_coverage(M, N)`.

Letters: M samples, N test images, D features, k neighbours.
Source: Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models", Eq. 5 to 7.
"""

import math
from typing import NamedTuple

import torch
from scipy.special import ndtri
from torch import Tensor

from diffmem.errors import InputError
from diffmem.metrics.pairwise import squared_distances
from diffmem.stats import intervals

NEIGHBOURS = 5
_BLOCKS = 20  # of the jackknife of coverage
_TILE = 1024


class Estimate(NamedTuple):
    value: float
    low: float
    high: float


def density_coverage(
    samples: Tensor, images: Tensor, k: int = NEIGHBOURS, level: float = 0.95
) -> tuple[Estimate, Estimate]:
    """(density, coverage) of features `samples` [M, D] against test `images` [N, D], with intervals at `level`.

    The intervals speak of the samples alone: normal for density, which is their mean; a delete-block jackknife for
    coverage. Raises InputError for N <= k or M < 2.
    """
    if len(images) <= k or len(samples) < 2:
        raise InputError(
            f"{len(samples)} samples and {len(images)} test images give no density and coverage with {k} neighbours: "
            f"at least 2 samples and {k + 1} images are needed."
        )
    centre = images.double().mean(0)
    drawn, real = samples.double() - centre, images.double() - centre
    # the nearest of all is the image itself
    radii = torch.cat([squared_distances(part, real).kthvalue(k + 1, dim=1).values for part in real.split(_TILE)])
    blocks = drawn.tensor_split(min(_BLOCKS, len(drawn)))
    counts, nearest = [], []
    for block in blocks:
        tiles = [squared_distances(part, real) for part in block.split(_TILE)]
        counts += [(distances < radii).sum(1) for distances in tiles]
        nearest.append(torch.stack([distances.amin(0) for distances in tiles]).amin(0))
    covered = torch.stack(nearest) < radii  # [blocks, N]
    return _density(torch.cat(counts).double() / k, level), _coverage(covered, [len(block) for block in blocks], level)


def expected_coverage(samples: int, images: int, k: int = NEIGHBOURS) -> float:
    """Mean coverage where M samples and N images have one law (Naeem et al. 2020, Eq. 11)."""
    missed = 1.0
    for place in range(1, k + 1):
        missed *= (images - place) / (samples + images - place)
    return 1 - missed


def _density(inside: Tensor, level: float) -> Estimate:
    value, error = float(inside.mean()), float(inside.std()) / math.sqrt(len(inside))
    half = float(ndtri((1 + level) / 2)) * error
    return Estimate(value, max(value - half, 0.0), value + half)


def _coverage(covered: Tensor, sizes: list[int], level: float) -> Estimate:
    holders = covered.sum(0)
    value = float((holders > 0).double().mean())
    left_out = [float((holders - own > 0).double().mean()) for own in covered.long()]
    low, high = intervals.jackknife(value, left_out, sizes, level)
    return Estimate(value, max(low, 0.0), min(high, 1.0))
