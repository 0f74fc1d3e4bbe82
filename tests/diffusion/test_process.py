"""The forward process against diffusers' schedulers and against its own algebra."""

from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from diffmem.config.diffusion import CosineDiffusion, DiffusionConfig, LinearDiffusion
from diffmem.diffusion.process import Process

SCHEDULES = {
    "linear": LinearDiffusion(T=1000, beta_first=1e-4, beta_last=2e-2),
    "steep": LinearDiffusion(T=50, beta_first=1e-3, beta_last=0.3),
    "cosine": CosineDiffusion(T=1000),
}


@pytest.fixture(params=SCHEDULES)
def diffusion(request: pytest.FixtureRequest) -> DiffusionConfig:
    return SCHEDULES[request.param]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_alpha_bar_is_that_of_diffusers(diffusion: DiffusionConfig) -> None:
    schedule: dict[str, Any] = {"beta_schedule": "squaredcos_cap_v2"}
    if isinstance(diffusion, LinearDiffusion):
        schedule = {"beta_schedule": "linear", "beta_start": diffusion.beta_first, "beta_end": diffusion.beta_last}
    oracle: Any = DDPMScheduler(num_train_timesteps=diffusion.T, **schedule)
    torch.testing.assert_close(Process.from_config(diffusion).alpha_bar, oracle.alphas_cumprod, rtol=2e-4, atol=1e-9)


def test_alpha_bar_decreases_inside_the_unit_interval(diffusion: DiffusionConfig) -> None:
    alpha_bar = Process.from_config(diffusion).alpha_bar
    assert alpha_bar.dtype == torch.float32
    assert (alpha_bar.diff() < 0).all()
    assert 0 < alpha_bar[-1] < alpha_bar[0] < 1


def test_x0_inverts_noise(diffusion: DiffusionConfig) -> None:
    process = Process.from_config(diffusion)
    x0, eps = normal(5, 1, 3, 3), normal(5, 1, 3, 3, seed=1)
    t = torch.tensor([0, 1, diffusion.T // 4, diffusion.T // 2, diffusion.T * 3 // 4])
    torch.testing.assert_close(process.x0(process.noise(x0, eps, t), eps, t), x0, rtol=1e-4, atol=1e-4)


def test_score_is_the_gradient_of_the_kernel(diffusion: DiffusionConfig) -> None:
    process = Process.from_config(diffusion)
    x0, eps = normal(4, 6), normal(4, 6, seed=1)
    t = torch.tensor([0, 3, 20, diffusion.T - 1])
    x_t = process.noise(x0, eps, t).requires_grad_()
    alpha_bar = process.alpha_bar[t][:, None]
    log_kernel = -((x_t - alpha_bar.sqrt() * x0) ** 2 / (2 * (1 - alpha_bar))).sum()
    (gradient,) = torch.autograd.grad(log_kernel, x_t)
    torch.testing.assert_close(process.score(eps, t), gradient, rtol=1e-3, atol=1e-3)


def test_unit_variance_is_kept(diffusion: DiffusionConfig) -> None:
    process = Process.from_config(diffusion)
    signal, sigma = process.coefficients(torch.arange(diffusion.T), normal(1, 1))
    torch.testing.assert_close(signal**2 + sigma**2, torch.ones_like(signal))
