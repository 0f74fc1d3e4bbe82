"""Kernel distance of samples to test images: the squared maximum mean discrepancy, without bias, times 1000.

    k(x, y) = exp(-|x - y|^2 / 2 h^2),  h = half the median distance between two test images

    D = 1000 [ mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j) ]

A U-statistic on both sides: its expectation does not move with M or N, and it is negative about as often as positive
where samples and images have one law. It sees every moment, not mean and covariance alone.

Letters: M samples x, N test images y, d values in one image.
Source: Gretton et al. 2012, "A kernel two-sample test", Lemma 6.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from diffmem.errors import InputError
from diffmem.metrics.mmd import squared_mmd
from diffmem.metrics.pairwise import squared_distances

NAME = "mmd_pixels"
SCALE = 1000.0
_TILE = 1024


@dataclass(frozen=True, eq=False)
class KernelDistance:
    """What the distances to one set of test images share; `KernelDistance.to(images)` makes it."""

    images: Tensor  # [N, d] float64
    bandwidth: float  # h, in the units of the images
    self_mean: float  # mean_{i != j} k(y_i, y_j)

    @classmethod
    def to(cls, images: Tensor) -> Self:
        """Distances to `images` [N, ...]. Raises InputError for fewer than two, or where most are equal."""
        rows = _rows(images, 2)
        distances = torch.cat([squared_distances(part, rows).sqrt().flatten() for part in rows.split(_TILE)])
        pairs = len(rows) * (len(rows) - 1)
        # the N distances of an image to itself are the least of all
        median = distances.kthvalue(len(rows) + (pairs + 1) // 2).values
        bandwidth = float(median) / 2
        if not bandwidth > 0:
            raise InputError(
                f"Most of the {len(rows)} test images are equal: a kernel distance needs images that differ."
            )
        return cls(rows, bandwidth, float(_row_sums(rows, rows, bandwidth).sum() - len(rows)) / pairs)

    def __call__(self, samples: Tensor, level: float = 0.95) -> tuple[float, float, float]:
        """D of `samples` [M, ...] and its interval at `level`: (value, low, high).

        Raises InputError for fewer than three samples, or for NaN or infinite ones.
        """
        rows = _rows(samples, 3)
        own = _row_sums(rows, rows, self.bandwidth) - 1
        across = _row_sums(rows, self.images, self.bandwidth) / len(self.images)
        value, low, high = squared_mmd(own, across, self.self_mean, level)
        return SCALE * value, SCALE * low, SCALE * high


def _rows(images: Tensor, least: int) -> Tensor:
    rows = images.detach().flatten(1).cpu().double()
    if len(rows) < least:
        raise InputError(f"{len(rows)} images give no kernel distance: it needs at least {least}.")
    if not bool(rows.isfinite().all()):
        raise InputError("A kernel distance needs finite images: some hold NaN or infinite values.")
    return rows


def _row_sums(x: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    """sum_j k(x_i, y_j) [M], by tiles of both."""
    sums = []
    for part in x.split(_TILE):
        kernels = [torch.exp(squared_distances(part, other) / (-2 * bandwidth**2)) for other in y.split(_TILE)]
        sums.append(torch.stack([kernel.sum(1) for kernel in kernels]).sum(0))
    return torch.cat(sums)
