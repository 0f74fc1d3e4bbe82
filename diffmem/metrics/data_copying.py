"""C_T: are samples nearer to the training set than held-out images are? A rank test in cells of the space.

In each cell of a partition: Z_U = (U - m n / 2) / sqrt(m n (m + n + 1) / 12), where U counts the pairs (sample,
held-out image) in which the sample is farther from the cell's training images (half a pair where they tie), m samples
and n held-out images. C_T is the mean of Z_U weighted by the share of held-out images in each cell, over the cells that
hold at least a share tau = 20 / m of the samples (all of them, where m < 20). About 0 for fresh samples. Direction:
lower = more memorized; far below 0 (-3, say) is data copying, far above 0 is underfitting.
Source: Meehan, Chaudhuri and Dasgupta 2020, "A non-parametric test to detect data-copying in generative models",
sections 3 and 4.

Letters: m samples, n held-out images, T training images, d values in one image.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.vq import vq
from scipy.stats import rankdata
from torch import Tensor

from diffmem.metrics.nearest_k import nearest_k

CELLS = 3
LEAST_SAMPLES = 20  # tau m


def data_copying(samples: Tensor, heldout: Tensor, train: Tensor, *, cells: int = CELLS, seed: int = 0) -> float:
    """C_T of `samples` [m, ...] against `heldout` [n, ...] and `train` [T, ...], in one space.

    Cells come from k-means on the training images, seeded; one in which training or held-out images are missing has
    no distances to compare, so `cells` is lowered until there is none. Returns nan where no cell has enough samples.
    """
    points = [images.flatten(1).double().cpu().numpy() for images in (samples, heldout, train)]
    for count in range(min(cells, len(train)), 0, -1):
        labels = _partition(points, count, seed)
        if all((labels[1] == cell).any() and (labels[2] == cell).any() for cell in range(count)):
            break
    enough = [cell for cell in range(count) if (labels[0] == cell).sum() >= min(LEAST_SAMPLES, len(samples))]
    if not enough:
        return float("nan")
    weights = np.array([(labels[1] == cell).mean() for cell in enough])
    z = [_z_u(*(p[own == cell] for p, own in zip(points, labels, strict=True))) for cell in enough]
    return float(np.dot(weights, z) / weights.sum())


def _partition(points: list[NDArray[np.float64]], cells: int, seed: int) -> list[NDArray[np.int64]]:
    """The cell of each sample, held-out and training image."""
    if cells == 1:
        return [np.zeros(len(some), dtype=np.int64) for some in points]
    train = points[2]
    centres = train[np.random.default_rng(seed).choice(len(train), cells, replace=False)]
    for _ in range(20):  # Lloyd's iteration; a cell that empties keeps its centre
        own = vq(train, centres)[0]
        centres = np.stack([train[own == c].mean(0) if (own == c).any() else centres[c] for c in range(cells)])
    return [vq(some, centres)[0].astype(np.int64) for some in points]


def _z_u(samples: NDArray[np.float64], heldout: NDArray[np.float64], train: NDArray[np.float64]) -> float:
    """The z-scored Mann-Whitney U of the distances to the nearest training image."""
    q, p = (_distances(some, train) for some in (samples, heldout))
    m, n = len(q), len(p)
    u = rankdata(np.concatenate([q, p]))[:m].sum() - m * (m + 1) / 2
    return float((u - m * n / 2) / np.sqrt(m * n * (m + n + 1) / 12))


def _distances(points: NDArray[np.float64], train: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each point to the nearest of `train`."""
    distance, _ = nearest_k(torch.from_numpy(points), torch.from_numpy(train), 1)
    return distance[:, 0].numpy()
