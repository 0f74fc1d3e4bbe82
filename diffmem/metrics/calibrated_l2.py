"""The calibrated l2 distance of Carlini et al. 2023: is a sample nearer to one image than to a crowd?

    calibrated(x) = d(x, NN1) / mean over y in S of d(x, y),   S: the 50 training images nearest to x

An image in a crowd is near to many; only a copy is near to one alone. Direction: lower = more memorized.
Of training images that equal one another one takes part; where there are fewer than 50, S is all of them.
Source: Carlini et al. 2023, "Extracting training data from diffusion models", section 5.1 (with their alpha = 1).

Letters: M samples, n training images.
"""

from torch import Tensor

from diffmem.metrics.nearest_k import nearest_k
from diffmem.metrics.search import TrainingIndex

NEIGHBOURS = 50


def calibrated_l2(samples: Tensor, index: TrainingIndex, neighbours: int = NEIGHBOURS) -> Tensor:
    """The calibrated distance of each of `samples` [M, ...]: float64 [M], in [0, 1]."""
    distance, _ = nearest_k(samples, index.train, neighbours, places=index.distinct, device=index.device)
    return distance[:, 0] / distance.mean(dim=1)
