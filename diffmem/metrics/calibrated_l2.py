"""The calibrated l2 distance of Carlini et al. 2023, and a null of d1/d2 from the training images alone.

    calibrated(x) = d(x, NN1) / mean over y in S of d(x, y),   S: the 50 training images nearest to x

An image in a crowd is near to many; only a copy is near to one alone. Direction: lower = more memorized.
Of training images that equal one another one takes part; where there are fewer than 50, S is all of them.
Source: Carlini et al. 2023, "Extracting training data from diffusion models", section 5.1 (with their alpha = 1).

Letters: M samples, n training images.
"""

from torch import Tensor

from diffmem.errors import InputError
from diffmem.metrics.nearest_k import nearest_k
from diffmem.metrics.search import NearestTwo, TrainingIndex

NEIGHBOURS = 50


def calibrated_l2(samples: Tensor, index: TrainingIndex, neighbours: int = NEIGHBOURS) -> Tensor:
    """The calibrated distance of each of `samples` [M, ...]: float64 [M], in [0, 1]."""
    distance, _ = nearest_k(samples, index.train, neighbours, places=index.distinct, device=index.device)
    return distance[:, 0] / distance.mean(dim=1)


def leave_one_out(index: TrainingIndex, limit: int = 2048) -> NearestTwo:
    """The two nearest training images of each of the first `limit` distinct ones, itself left out.

    A null where no held-out image is to be had: d1/d2 of real images against a set that lacks just them. Raises
    InputError for fewer than three distinct images.
    """
    if len(index.distinct) < 3:
        raise InputError(
            f"{len(index.distinct)} distinct training images give no null of their own, which needs three: "
            "give held-out images."
        )
    chosen = index.rows(index.distinct[:limit])
    distance, place = nearest_k(chosen, index.train, 3, places=index.distinct, device=index.device)
    return NearestTwo(distance[:, 1].clone(), distance[:, 2].clone(), place[:, 1].clone(), place[:, 2].clone())
