"""Averaged weights: after step tau, average <- beta average + (1 - beta) weights.

`train.ema=0.999`   beta is that decay: a memory of 1 / (1 - beta) steps, whatever tau
`train.ema=power`   beta = (1 - 1 / tau)^(gamma + 1), so that step k of tau weighs

                        (k^(gamma + 1) - (k - 1)^(gamma + 1)) / tau^(gamma + 1),  about k^gamma,

                    and the weights before the first step nothing. The standard deviation of k under these weights is
                    `train.ema_sigma` tau: a lag proportional to training time, which changes no exponent.
`train.ema=posthoc` two of these, of the widths POSTHOC, from which others are rebuilt (`posthoc.py`)

Source: Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", section 3.1.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from diffmem.config.settings import TrainConfig

POSTHOC = (0.05, 0.10)  # the widths that EDM2 stores


@lru_cache(maxsize=4)
def exponent(sigma: float) -> float:
    """The gamma >= 0 whose relative width is `sigma`, 0 < sigma <= 1/sqrt(12).

    sigma^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)), a cubic in gamma; beyond its maximum, sigma falls with gamma.
    """
    inverse = sigma**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


def names(config: TrainConfig) -> tuple[str, ...]:
    """What the averages of a run are called, in its checkpoints and resume points."""
    if config.ema is None:
        return ()
    return tuple(map(stored_name, POSTHOC)) if config.ema == "posthoc" else ("ema",)


def stored_name(sigma: float) -> str:
    """What the average of width `sigma`, of POSTHOC, is called."""
    return f"ema_{sigma:.3f}"


def decays(config: TrainConfig, step: int) -> tuple[float, ...]:
    """beta of each average of `names` after step `step` (from 1)."""
    if config.ema is None:
        return ()
    if isinstance(config.ema, float):
        return (config.ema,)
    sigmas = POSTHOC if config.ema == "posthoc" else (config.ema_sigma,)
    return tuple(float((1 - 1 / step) ** (exponent(sigma) + 1)) for sigma in sigmas if sigma is not None)


@torch.no_grad()
def update(average: list[Tensor], weights: list[Tensor], share: Tensor) -> None:
    """average <- average + share (weights - average), in place; `share` [] is 1 - beta, on their device."""
    if share.is_cuda:  # three kernels for all weights; lerp knows a share on the device only one weight at a time
        moves = torch._foreach_sub(weights, average)
        torch._foreach_mul_(moves, share)
        torch._foreach_add_(average, moves)
    else:
        torch._foreach_lerp_(average, weights, [share] * len(average))


class Averages:
    """The averages of the weights of `model`, by name, and the weights that each is of."""

    def __init__(self, model: nn.Module, averages: Mapping[str, Mapping[str, Tensor]]) -> None:
        weights: dict[str, Tensor] = dict(model.named_parameters())
        self._pairs = [(list(one.values()), [weights[name] for name in one]) for one in averages.values()]

    def update(self, shares: Sequence[Tensor]) -> None:
        """Move each average towards the weights by its share []."""
        for (averaged, weights), share in zip(self._pairs, shares, strict=True):
            update(averaged, weights, share)
