"""The forward process, and the conversions between epsilon, x_0 and score. Knows no network.

    x_t = c_t (sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps)

Every Gaussian path from data to noise has this form. c = 1 is the variance-preserving one (Ho, Jain, Abbeel 2020,
Eq. 4; Song et al. 2021). The straight line (1 - u) x_0 + u eps of flow matching (Lipman et al. 2023; Liu et al. 2023)
and the exploding x_0 + sigma eps of EDM (Karras et al. 2022) pass through the same points at another scale and at other
times: epsilon depends on x_t / c_t and alpha_bar_t alone.

Letters: B images in a batch, `t` an index 0..T-1 of diffusion time, [B] int64.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from diffmem.config.diffusion import CosineDiffusion, DiffusionConfig, EDMDiffusion, FlowDiffusion, LinearDiffusion

# (x [B, ...], t [B]) -> epsilon [B, ...]; of a network that takes labels also (x, t, labels [B])
Denoiser = Callable[..., Tensor]


@dataclass(frozen=True)
class Process:
    """A path by its cumulative products `alpha_bar` [T], decreasing, in (0, 1), and its `scale` c [T], None for 1.

    Both are float32 on the variance-preserving path, float64 on others.
    """

    alpha_bar: Tensor
    scale: Tensor | None = None

    @classmethod
    def from_config(cls, config: DiffusionConfig) -> Self:
        return cls(*PATHS[type(config)](config))

    @property
    def T(self) -> int:
        return len(self.alpha_bar)

    def to(self, device: torch.device | str) -> Self:
        dtype = torch.float32 if torch.device(device).type == "mps" else self.alpha_bar.dtype  # it has no float64
        return type(self)(*(table.to(device, dtype) for table in (self.alpha_bar, self.scale) if table is not None))

    def coefficients(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Of x_0 and of eps in x_t (on the variance-preserving path sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t)).

        float32, each [B, 1, ...] to broadcast over `like`.
        """
        alpha_bar = over(self.alpha_bar[t], like)
        signal, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        if self.scale is None:
            return signal, sigma
        scale = over(self.scale[t], like)
        return (scale * signal).float(), (scale * sigma).float()

    def noise(self, x0: Tensor, eps: Tensor, t: Tensor, out: Tensor | None = None) -> Tensor:
        """x_t of images `x0` [B, ...] and noise `eps` of the same shape; in `out`, where it is given."""
        signal, sigma = self.coefficients(t, x0)
        return torch.add(signal * x0, sigma * eps, out=out)

    def x0(self, x_t: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """The clean image that `eps` implies."""
        signal, sigma = self.coefficients(t, x_t)
        return (x_t - sigma * eps) / signal

    def score(self, eps: Tensor, t: Tensor) -> Tensor:
        """The score that `eps` implies: minus eps over its coefficient in x_t."""
        _, sigma = self.coefficients(t, eps)
        return -eps / sigma

    def exact(self) -> tuple[Tensor, Tensor]:
        """The coefficients of all times: float64 [T] each, on the CPU."""
        alpha_bar = self.alpha_bar.cpu().double()
        scale = 1.0 if self.scale is None else self.scale.cpu().double()
        return scale * alpha_bar.sqrt(), scale * (1 - alpha_bar).sqrt()

    def unscaled(self, x: Tensor, t: Tensor) -> Tensor:
        """`x` [B, ...] over c_t: points x_t as they are on the variance-preserving path, or its scores as here."""
        return x if self.scale is None else x / over(self.scale[t.to(self.scale.device)].to(x), x)


def over(values: Tensor, like: Tensor) -> Tensor:
    """`values` [B] to broadcast over `like` [B, ...]."""
    return values.view(-1, *[1] * (like.ndim - 1))


def _linear(config: LinearDiffusion) -> tuple[Tensor]:
    """Ho et al. 2020, section 4."""
    return _product(torch.linspace(config.beta_first, config.beta_last, config.T, dtype=torch.float64))


def _cosine(config: CosineDiffusion) -> tuple[Tensor]:
    """Nichol & Dhariwal 2021, Eq. 17."""

    def kept(fraction: Tensor) -> Tensor:
        return torch.cos((fraction + 0.008) / 1.008 * torch.pi / 2) ** 2

    t = torch.arange(config.T, dtype=torch.float64)
    return _product((1 - kept((t + 1) / config.T) / kept(t / config.T)).clamp(max=0.999))


def _product(beta: Tensor) -> tuple[Tensor]:
    return (torch.cumprod(1 - beta, 0).float(),)


def _flow(config: FlowDiffusion) -> tuple[Tensor, Tensor]:
    """Lipman et al. 2023, Eq. 20 (with sigma_min = 0); Liu et al. 2023, Eq. 1: u in the middle of T equal parts."""
    u = flow_times(config)
    return _path(1 - u, u)


def flow_times(config: FlowDiffusion) -> Tensor:
    """The share u of noise at each t: float64 [T]."""
    return (torch.arange(config.T, dtype=torch.float64) + 0.5) / config.T


def _edm(config: EDMDiffusion) -> tuple[Tensor, Tensor]:
    """Karras et al. 2022, Eq. 5, from the smallest sigma up."""
    sigma = edm_sigmas(config)
    return _path(torch.ones_like(sigma), sigma)


def edm_sigmas(config: EDMDiffusion) -> Tensor:
    """The noise level sigma at each t: float64 [T]."""
    first, last = config.sigma_min ** (1 / config.rho), config.sigma_max ** (1 / config.rho)
    return (first + torch.linspace(0, 1, config.T, dtype=torch.float64) * (last - first)) ** config.rho


def _path(signal: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """alpha_bar and c of x_t = signal x_0 + sigma eps."""
    square = signal.square() + sigma.square()
    return signal.square() / square, square.sqrt()


PATHS: dict[type[DiffusionConfig], Callable[[Any], tuple[Tensor, ...]]] = {
    LinearDiffusion: _linear,
    CosineDiffusion: _cosine,
    FlowDiffusion: _flow,
    EDMDiffusion: _edm,
}
