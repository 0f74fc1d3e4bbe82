"""The forward process: x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps, and the conversions between
epsilon, x_0 and score (Ho, Jain, Abbeel 2020, Eq. 4; Song et al. 2021). Knows no network.

Letters: B images in a batch, `t` an index 0..T-1 of diffusion time, [B] int64.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from diffmem.config.diffusion import DiffusionConfig, LinearDiffusion

# (x [B, ...], t [B]) -> epsilon [B, ...]; of a network that takes labels also (x, t, labels [B])
Denoiser = Callable[..., Tensor]


@dataclass(frozen=True)
class Process:
    """A noise schedule by its cumulative products `alpha_bar`: float32 [T], decreasing, in (0, 1)."""

    alpha_bar: Tensor

    @classmethod
    def from_config(cls, config: DiffusionConfig) -> Self:
        t = torch.arange(config.T, dtype=torch.float64)
        if isinstance(config, LinearDiffusion):  # Ho et al. 2020, section 4
            beta = torch.linspace(config.beta_first, config.beta_last, config.T, dtype=torch.float64)
        else:  # Nichol & Dhariwal 2021, Eq. 17
            beta = 1 - _cosine((t + 1) / config.T) / _cosine(t / config.T)
            beta = beta.clamp(max=0.999)
        return cls(torch.cumprod(1 - beta, 0).float())

    @property
    def T(self) -> int:
        return len(self.alpha_bar)

    def to(self, device: torch.device | str) -> Self:
        return type(self)(self.alpha_bar.to(device))

    def coefficients(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """(sqrt(alpha_bar_t), sqrt(1 - alpha_bar_t)), each [B, 1, ...] to broadcast over `like`."""
        alpha_bar = self.alpha_bar[t].view(-1, *[1] * (like.ndim - 1))
        return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()

    def noise(self, x0: Tensor, eps: Tensor, t: Tensor, out: Tensor | None = None) -> Tensor:
        """x_t of images `x0` [B, ...] and noise `eps` of the same shape; in `out`, where it is given."""
        signal, sigma = self.coefficients(t, x0)
        return torch.add(signal * x0, sigma * eps, out=out)

    def x0(self, x_t: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """The clean image that `eps` implies."""
        signal, sigma = self.coefficients(t, x_t)
        return (x_t - sigma * eps) / signal

    def score(self, eps: Tensor, t: Tensor) -> Tensor:
        """The score that `eps` implies: -eps / sqrt(1 - alpha_bar_t)."""
        _, sigma = self.coefficients(t, eps)
        return -eps / sigma


def _cosine(fraction: Tensor) -> Tensor:
    return torch.cos((fraction + 0.008) / 1.008 * torch.pi / 2) ** 2
