"""Two Gaussians with known density: the data set on which every score can be checked exactly.

x_0 ~ 1/2 N(+μ·1, σ² I) + 1/2 N(-μ·1, σ² I) in R^d (Bonnaire et al. 2025). The forward process
x_t = sqrt(ᾱ) x_0 + sqrt(1 - ᾱ) ε keeps it a mixture, with m = sqrt(ᾱ) μ and v = ᾱ σ² + 1 - ᾱ in their place:

    p(x) = 1/2 N(x; +m·1, v I) + 1/2 N(x; -m·1, v I)
    ∇ log p(x) = (m tanh(m Σ_i x_i / v) · 1 - x) / v

Of one component, whose label is c = 0 (+) or 1 (-), the density is its Gaussian and the score ((1 - 2c) m · 1 - x) / v.
ᾱ = 1 is the data distribution itself. For data times `data.scale`, give scale·μ and scale·σ.
"""

import math

import numpy as np
import torch
from torch import Tensor

from diffmem import memory
from diffmem.config.data import MixtureData
from diffmem.data.dataset import TEST_COUNT, Dataset, content_sha256
from diffmem.rng import normal

TRAIN_COUNT = 65536


def load(cfg: MixtureData) -> Dataset:
    """The mixture's points, [65536 + 2048, d]."""
    count = TRAIN_COUNT + TEST_COUNT
    memory.check(4.0 * count * cfg.dim, f"data.dim={cfg.dim}", f"for its {count} points")
    stored = draw(count, cfg.dim, cfg.mu, cfg.sigma)
    return Dataset(
        name=cfg.name,
        stored=stored,
        levels=1,
        test_count=TEST_COUNT,
        sha256=content_sha256(stored),
        source=f"drawn here: two Gaussians in {cfg.dim} dimensions, mu={cfg.mu}, sigma={cfg.sigma}",
        licence="none needed",
        labels=np.arange(count) % 2,
        classes=("+mu", "-mu"),
    )


def draw(count: int, dim: int, mu: float, sigma: float) -> np.ndarray:
    """The first `count` points, float32 [count, dim]. Even points are of the + component, odd ones of the -."""
    signs = np.where(np.arange(count) % 2 == 0, 1, -1).astype(np.float32)
    noise = normal((count, dim), "mixture", dim).numpy()
    return noise * np.float32(sigma) + signs[:, None] * np.float32(mu)


def log_density(x: Tensor, alpha_bar: float | Tensor, mu: float, sigma: float, labels: Tensor | None = None) -> Tensor:
    """log p(x) of the diffused mixture, or of the components `labels` [B], at points x [B, d]: [B], in nats.

    `alpha_bar` is one number, or one a point.
    """
    m, v = _diffused(x, alpha_bar, mu, sigma)
    plus, minus = (-((x - sign * m) ** 2).sum(dim=1) / (2 * v[:, 0]) for sign in (1, -1))
    normalizer = x.shape[1] / 2 * torch.log(2 * math.pi * v[:, 0])
    if labels is None:
        return torch.logaddexp(plus, minus) - math.log(2) - normalizer
    return torch.where(labels == 0, plus, minus) - normalizer


def score(x: Tensor, alpha_bar: float | Tensor, mu: float, sigma: float, labels: Tensor | None = None) -> Tensor:
    """∇ log p(x) of the diffused mixture, or of the components `labels` [B], at points x [B, d]: [B, d].

    `alpha_bar` is one number, or one a point.
    """
    m, v = _diffused(x, alpha_bar, mu, sigma)
    sign = torch.tanh(m * x.sum(dim=1, keepdim=True) / v) if labels is None else 1 - 2 * labels[:, None]
    return (m * sign - x) / v


def _diffused(x: Tensor, alpha_bar: float | Tensor, mu: float, sigma: float) -> tuple[Tensor, Tensor]:
    """Mean m and variance v of a diffused component, each [B or 1, 1]."""
    abar = torch.as_tensor(alpha_bar, dtype=x.dtype, device=x.device).reshape(-1, 1)
    return abar.sqrt() * mu, abar * sigma**2 + (1 - abar)
