"""The forward process against diffusers' schedulers and against its own algebra."""

from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler, EDMEulerScheduler, FlowMatchEulerDiscreteScheduler
from torch import Tensor

from diffmem.config.diffusion import CosineDiffusion, DiffusionConfig, LinearDiffusion
from diffmem.diffusion.process import Process
from tests.helpers.paths import EDM, FLOW, LINEAR

PRESERVING: dict[str, DiffusionConfig] = {
    "linear": LINEAR,
    "steep": LinearDiffusion(T=50, beta_first=1e-3, beta_last=0.3),
    "cosine": CosineDiffusion(T=1000),
}
PATHS = {**PRESERVING, "flow": FLOW, "edm": EDM}


@pytest.fixture(params=PRESERVING)
def preserving(request: pytest.FixtureRequest) -> DiffusionConfig:
    return PRESERVING[request.param]


@pytest.fixture(params=PATHS)
def diffusion(request: pytest.FixtureRequest) -> DiffusionConfig:
    return PATHS[request.param]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_alpha_bar_is_that_of_diffusers(preserving: DiffusionConfig) -> None:
    schedule: dict[str, Any] = {"beta_schedule": "squaredcos_cap_v2"}
    if isinstance(preserving, LinearDiffusion):
        schedule = {"beta_schedule": "linear", "beta_start": preserving.beta_first, "beta_end": preserving.beta_last}
    oracle: Any = DDPMScheduler(num_train_timesteps=preserving.T, **schedule)
    torch.testing.assert_close(Process.from_config(preserving).alpha_bar, oracle.alphas_cumprod, rtol=2e-4, atol=1e-9)


def test_a_flow_is_noised_as_diffusers_does() -> None:
    oracle: Any = FlowMatchEulerDiscreteScheduler(num_train_timesteps=FLOW.T)
    oracle.set_timesteps(sigmas=[0.9995, 0.5005, 0.0005])
    x0, eps = normal(3, 1, 2, 2), normal(3, 1, 2, 2, seed=1)
    expected = oracle.scale_noise(x0, oracle.timesteps, eps)
    found = Process.from_config(FLOW).noise(x0, eps, torch.tensor([999, 500, 0]))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_edm_has_the_noise_levels_of_diffusers() -> None:
    oracle: Any = EDMEulerScheduler(num_train_timesteps=EDM.T)
    oracle.set_timesteps(EDM.T)
    signal, sigma = Process.from_config(EDM).exact()
    torch.testing.assert_close(sigma.flip(0).float(), oracle.sigmas[:-1], rtol=1e-5, atol=0)
    torch.testing.assert_close(signal, torch.ones_like(signal), rtol=1e-12, atol=0)


@pytest.mark.parametrize("like", [FLOW, EDM], ids=["flow", "edm"])
def test_a_path_is_the_variance_preserving_one_at_another_scale(like: DiffusionConfig) -> None:
    process = Process.from_config(like)
    preserving = Process(process.alpha_bar.float())
    x0, eps, t = normal(4, 3), normal(4, 3, seed=1), torch.tensor([30, 300, 600, 990])
    unscaled = process.unscaled(process.noise(x0, eps, t), t)
    torch.testing.assert_close(unscaled, preserving.noise(x0, eps, t), rtol=1e-4, atol=1e-4)


def test_alpha_bar_decreases_inside_the_unit_interval(diffusion: DiffusionConfig) -> None:
    alpha_bar = Process.from_config(diffusion).alpha_bar
    assert (alpha_bar.dtype == torch.float32) == diffusion.variance_preserving
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
    signal, sigma = (values[t][:, None] for values in process.exact())
    log_kernel = -((x_t - signal * x0) ** 2 / (2 * sigma**2)).sum()
    (gradient,) = torch.autograd.grad(log_kernel, x_t)
    torch.testing.assert_close(process.score(eps, t), gradient, rtol=1e-3, atol=1e-3)


def test_unit_variance_is_kept(preserving: DiffusionConfig) -> None:
    process = Process.from_config(preserving)
    signal, sigma = process.coefficients(torch.arange(preserving.T), normal(1, 1))
    torch.testing.assert_close(signal**2 + sigma**2, torch.ones_like(signal))
