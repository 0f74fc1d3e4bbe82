"""Authenticity: is a sample nearer to a training image than the next training image is?

    x is authentic when d(x, NN1) > d(NN1, the training image nearest to NN1);  AuthPct = 100 x share of those

NN1 is the training image nearest to x. Direction: lower = more memorized.
Source: Alaa et al. 2022, "How faithful is your synthetic data? Sample-level metrics for evaluating and auditing
generative models", section 3.2 (AuthPct as in Stein et al. 2023).
"""

from torch import Tensor

from diffmem.metrics.search import NearestTwo, TrainingIndex


def authentic(nearest: NearestTwo, index: TrainingIndex) -> Tensor:
    """Whether each sample is authentic: bool [M]. `nearest` are their nearest images in `index`.

    Distances between training images leave exact duplicates out, as d2 does.
    """
    copied, inverse = nearest.i1.unique(return_inverse=True)
    apart = index.nearest_two(index.rows(copied).unflatten(1, index.shape)).d2  # its own place is at distance 0
    return nearest.d1 > apart[inverse]


def auth_pct(nearest: NearestTwo, index: TrainingIndex) -> float:
    """AuthPct, in percent: the share of samples that are authentic."""
    return 100 * float(authentic(nearest, index).double().mean())
