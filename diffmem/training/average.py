"""Averaged weights: after step tau, average <- beta average + (1 - beta) weights.

`train.ema=0.999`   beta is that decay: a memory of 1 / (1 - beta) steps, whatever tau
`train.ema=power`   beta = (1 - 1 / tau)^(gamma + 1), so that step k of tau weighs

                        (k^(gamma + 1) - (k - 1)^(gamma + 1)) / tau^(gamma + 1),  about k^gamma,

                    and the weights before the first step nothing. The standard deviation of k under these weights is
                    `train.ema_sigma` tau: a lag proportional to training time, which changes no exponent.

Source: Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", section 3.1.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from diffmem.config.settings import TrainConfig


@lru_cache(maxsize=4)
def exponent(sigma: float) -> float:
    """The gamma >= 0 whose relative width is `sigma`, 0 < sigma <= 1/sqrt(12).

    sigma^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)), a cubic in gamma; beyond its maximum, sigma falls with gamma.
    """
    inverse = sigma**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


def decay(config: TrainConfig, step: int) -> float:
    """beta of the average after step `step` (from 1) under `config`, whose `ema` is not null."""
    if isinstance(config.ema, float):
        return config.ema
    assert config.ema_sigma is not None
    return float((1 - 1 / step) ** (exponent(config.ema_sigma) + 1))


@torch.no_grad()
def update(average: list[Tensor], weights: list[Tensor], share: Tensor) -> None:
    """average <- average + share (weights - average), in place; `share` [] is 1 - beta, on their device."""
    if share.is_cuda:  # three kernels for all weights; lerp knows a share on the device only one weight at a time
        moves = torch._foreach_sub(weights, average)
        torch._foreach_mul_(moves, share)
        torch._foreach_add_(average, moves)
    else:
        torch._foreach_lerp_(average, weights, [share] * len(average))
