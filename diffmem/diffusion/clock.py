"""How fast a training learns its images by heart: the rate of loss-weighted time, per step and learning rate.

    r = sum_t m_t w(t) P(t) / D_t        m_t: the share of the gap at t, D_t: the width of t in log s/a

    gap(sigma) = E|x_0 - L(x_0 + sigma eps)|^2 - E|x_0 - E[x_0 | x_0 + sigma eps]|^2

The gap is what the training set's own denoiser knows of its images beyond the best linear one L, which has no more than
their mean and covariance: it is 0 where noise is so small or so large that both are right or both are wrong, and its
shares of log sigma are where there is something to learn by heart. P and w are those of `law`: w P / D is how much of
the training is spent on a noise level. A network that is linear in its weights, and whose levels do not disturb each
other, moves its epsilon at t by w(t) P(t) lr a step, whatever it is asked for: what turns F into epsilon in the answer
and in the loss cancels. Loss-weighted time is r times the sum of learning rates.

Letters: n training images, d values in one, K noise levels, T diffusion times.
"""

import math

import torch
from torch import Tensor

from diffmem import rng
from diffmem.diffusion.law import Law
from diffmem.diffusion.process import Process

LEVELS = torch.logspace(-2, 3, 41, dtype=torch.float64)
MOST = 512  # training images that are looked at
DRAWS = 512  # noised images behind a gap, at least


def rate(train: Tensor, process: Process, law: Law) -> float:
    """r of a training by `law` on the images `train` [n, ...] in model space, which are not all the same."""
    signal, sigma = process.exact()
    level = (sigma / signal).log()
    between = (level[1:] + level[:-1]) / 2
    width = torch.cat([2 * (between[:1] - level[:1]), between.diff(), 2 * (level[-1:] - between[-1:])])  # [T]
    share = interpolated(level, LEVELS.log(), gap(train, LEVELS)) * width
    weight = 1.0 if law.weight is None else law.weight.cpu().double()
    return float((share / share.sum() * weight * law.chances() / width).sum())


def gap(train: Tensor, levels: Tensor) -> Tensor:
    """The gap at noise of deviation `levels` [K] on images `train` [n, ...], summed over their values: float64 [K]."""
    images = train[:MOST].flatten(1).double().cpu()
    centred = images - images.mean(0)
    spread = torch.linalg.svdvals(centred).square() / len(images)  # [min(n, d)], of the covariance
    repeats = math.ceil(DRAWS / len(images))
    noise = rng.normal((repeats * len(images), images.shape[1]), "clock").double()
    clean = centred.repeat(repeats, 1)
    found = []
    for level in levels.tolist():
        linear = (spread * level**2 / (spread + level**2)).sum()
        square = torch.cdist(clean + level * noise, centred).square()
        known = torch.softmax(-square / (2 * level**2), dim=1) @ centred
        found.append((linear - (known - clean).square().sum(1).mean()).clamp(min=0))
    return torch.stack(found)


def interpolated(x: Tensor, known: Tensor, values: Tensor) -> Tensor:
    """`values` [K] at the ascending `known` [K], at `x`: linear between, constant beyond."""
    place = torch.searchsorted(known, x).clamp(1, len(known) - 1)
    part = ((x - known[place - 1]) / (known[place] - known[place - 1])).clamp(0, 1)
    return torch.lerp(values[place - 1], values[place], part)
