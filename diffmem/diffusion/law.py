"""How often each diffusion time is trained, and by how much its error counts.

    loss = sum_t P(t) w(t) E|F - F*|^2        F, F* as in `target`

P is uniform on 1..T-1, and for EDM that of log sigma ~ N(P_mean, P_std^2) (Karras et al. 2022, Table 1; each of the T
levels has the probability of what is nearer to it than to others). w is 1, or min-SNR: min(SNR, gamma) on the squared
error of x_0, whatever is predicted (Hang et al. 2023). With EDM w = 1 is the loss weight of Karras et al.

Letters: B images in a batch, T diffusion times.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from diffmem.config.diffusion import DiffusionConfig, EDMDiffusion
from diffmem.diffusion.process import Process, edm_sigmas
from diffmem.diffusion.target import Target


@dataclass(frozen=True, eq=False)
class Law:
    """`cumulative` [T] are the probabilities of a time up to t, None for uniform; `weight` [T] is w, None for 1."""

    T: int
    cumulative: Tensor | None = None
    weight: Tensor | None = None

    @classmethod
    def of(cls, config: DiffusionConfig, process: Process, target: Target, gamma: float | None = None) -> Self:
        """The law of `config`, whose path is `process`, on its device; with min-SNR where `gamma` is given."""
        cumulative = _log_normal(config) if isinstance(config, EDMDiffusion) else None
        weight = None if gamma is None else min_snr(process, target, gamma)
        device = process.alpha_bar.device
        return cls(process.T, *(None if table is None else table.float().to(device) for table in (cumulative, weight)))

    def draw(self, t: Tensor, generator: torch.Generator) -> None:
        """Fill `t` [B] with diffusion times."""
        if self.cumulative is None:
            t.random_(1, self.T, generator=generator)
        else:
            u = torch.rand(t.shape, generator=generator, device=t.device)
            t.copy_(torch.searchsorted(self.cumulative, u, right=True))

    def chances(self) -> Tensor:
        """P(t): float64 [T], on the CPU."""
        if self.cumulative is not None:
            return self.cumulative.cpu().double().diff(prepend=torch.zeros(1))
        chances = torch.full((self.T,), 1 / (self.T - 1), dtype=torch.float64)
        chances[0] = 0
        return chances


def min_snr(process: Process, target: Target, gamma: float) -> Tensor:
    """The weight of |F - F*|^2 that gives |x_0 - x_0*|^2 the weight min(SNR, gamma): float64 [T], on the CPU."""
    signal, sigma = process.exact()
    snr = (signal / sigma).square()
    # an error of F is one of epsilon times 1 / out, and one of epsilon one of x_0 times sqrt(SNR)
    return target.out.cpu().double().square() * (gamma / snr).clamp(max=1)


def _log_normal(config: EDMDiffusion) -> Tensor:
    """The chance of a level up to each of the T: float64 [T]."""
    levels = edm_sigmas(config).log()
    between = ((levels[1:] + levels[:-1]) / 2 - config.P_mean) / config.P_std
    return torch.cat([torch.special.ndtr(between), torch.ones(1, dtype=torch.float64)])
