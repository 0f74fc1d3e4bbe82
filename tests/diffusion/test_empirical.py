"""The exact denoiser against a plain softmax in float64 and against the gradient of the log density."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diffmem.config.diffusion import DDIMSampler, DiffusionConfig, HeunSampler, SamplerConfig
from diffmem.diffusion.empirical import EmpiricalDenoiser
from diffmem.diffusion.process import Process
from diffmem.diffusion.sampler import initial_noise, sample
from diffmem.errors import InputError
from diffmem.metrics.losses import epsilon_losses
from diffmem.metrics.search import nearest_two
from tests.helpers.paths import EDM, FLOW, LINEAR

PROCESS = Process.from_config(LINEAR)


def log_density(x: Tensor, train: Tensor, t: Tensor) -> Tensor:
    """log of the mean of n Gaussians at each point [B], but for a constant, from the distances themselves."""
    alpha_bar = PROCESS.alpha_bar[t].double()[:, None]
    square = (x[:, None] - alpha_bar.sqrt()[:, None] * train[None]).square().sum(2)
    return torch.logsumexp(-square / (2 * (1 - alpha_bar)), dim=1)


@given(st.integers(0, 2**31), st.integers(1, 40), st.sampled_from([1, 3, 20]), st.sampled_from([1, 7, 64]))
@settings(max_examples=40, deadline=None)
def test_equals_the_softmax_and_the_gradient(seed: int, n: int, d: int, tile: int) -> None:
    g = torch.Generator().manual_seed(seed)
    train = torch.randn(n, d, generator=g).double()
    t = torch.tensor([0, 1, 20, 300, 999])
    x = PROCESS.noise(train[torch.randint(n, (5,), generator=g)], torch.randn(5, d, generator=g).double(), t)
    alpha_bar = PROCESS.alpha_bar[t].double()[:, None]
    square = (x[:, None] - alpha_bar.sqrt()[:, None] * train[None]).square().sum(2)
    mean = torch.softmax(-square / (2 * (1 - alpha_bar)), dim=1) @ train
    expected = (x - alpha_bar.sqrt() * mean) / (1 - alpha_bar).sqrt()
    denoiser = EmpiricalDenoiser(train, PROCESS, tile=tile)
    torch.testing.assert_close(denoiser(x, t), expected, rtol=1e-7, atol=1e-7)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(log_density(x, train, t).sum(), x)
    scale = (1 - alpha_bar).sqrt()
    torch.testing.assert_close(denoiser.score(x, t) * scale, gradient * scale, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("path", [FLOW, EDM], ids=["flow", "edm"])
def test_equals_the_softmax_on_other_paths(path: DiffusionConfig) -> None:
    """And the score is the gradient of the log density of x_t there."""
    g = torch.Generator().manual_seed(0)
    train, t = torch.randn(12, 4, generator=g).double(), torch.tensor([30, 300, 600, 990])
    process = Process.from_config(path)
    signal, sigma = (values[t][:, None] for values in process.exact())
    x = (signal * train[:4] + sigma * torch.randn(4, 4, generator=g).double()).requires_grad_()
    square = (x[:, None] - signal[:, None] * train[None]).square().sum(2)
    mean = torch.softmax(-square / (2 * sigma**2), dim=1) @ train
    denoiser = EmpiricalDenoiser(train, process, tile=5)
    torch.testing.assert_close(denoiser(x, t), ((x - signal * mean) / sigma).detach(), rtol=1e-7, atol=1e-7)
    (gradient,) = torch.autograd.grad(torch.logsumexp(-square / (2 * sigma**2), dim=1).sum(), x)
    torch.testing.assert_close(denoiser.score(x, t) * sigma, gradient * sigma, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("path", "sampler"),
    [
        (LINEAR, HeunSampler(calls=49)),
        (FLOW, DDIMSampler(calls=50)),
        (FLOW, HeunSampler(calls=49)),
        (EDM, DDIMSampler(calls=50)),
        (EDM, HeunSampler(calls=49)),
    ],
    ids=["linear, heun", "flow", "flow, heun", "edm", "edm, heun"],
)
def test_sampling_with_it_gives_training_images_along_every_path(path: DiffusionConfig, sampler: SamplerConfig) -> None:
    train = torch.randn(10, 1, 3, 3, generator=torch.Generator().manual_seed(2))
    denoiser = EmpiricalDenoiser(train, Process.from_config(path))
    nearest = nearest_two(sample(denoiser, initial_noise(40, (1, 3, 3)), diffusion=path, sampler=sampler), train)
    assert float((nearest.d1 / nearest.d2).max()) < 1 / 3
    assert len(nearest.i1.unique()) > 5  # of them all, not one


def test_far_points_and_far_images_do_not_overflow() -> None:
    train = torch.tensor([[1e4, 0.0], [-1e4, 0.0], [0.0, 1e4]])
    denoiser = EmpiricalDenoiser(train, PROCESS, tile=1)
    t = torch.zeros(3, dtype=torch.long)
    signal, sigma = PROCESS.coefficients(t, train)
    x0 = PROCESS.x0(signal * train + sigma, denoiser(signal * train + sigma, t), t)
    torch.testing.assert_close(x0, train, rtol=1e-6, atol=1e-2)
    assert denoiser(1e6 * torch.ones(1, 2), t[:1]).isfinite().all()


def test_keeps_shape_and_type() -> None:
    denoiser = EmpiricalDenoiser(torch.rand(5, 1, 4, 4), PROCESS)
    x, t = torch.rand(3, 1, 4, 4), torch.tensor([1, 10, 100])
    for answer in (denoiser(x, t), denoiser.score(x, t)):
        assert answer.shape == x.shape
        assert answer.dtype == torch.float32
    torch.testing.assert_close(PROCESS.score(denoiser(x, t), t), denoiser.score(x, t), rtol=1e-4, atol=1e-4)


def test_no_denoiser_has_a_lower_training_loss() -> None:
    """It minimizes the training loss: near zero at small t, and any change of it costs."""
    train = torch.rand(16, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    denoiser = EmpiricalDenoiser(train, PROCESS)
    losses = epsilon_losses(denoiser, PROCESS, train, t=(5, 300, 900))
    assert losses[5].value < 1e-6
    for change in (0.98, 1.02):

        def scaled(x: Tensor, t: Tensor, factor: float = change) -> Tensor:
            return factor * denoiser(x, t)

        changed = epsilon_losses(scaled, PROCESS, train, t=(5, 300, 900))
        assert all(changed[t].value > losses[t].value for t in losses)


def test_one_image_is_answered_everywhere() -> None:
    image = torch.full((1, 3), 0.25)
    t = torch.tensor([700])
    x = torch.tensor([[5.0, -3.0, 0.0]])
    x0 = PROCESS.x0(x, EmpiricalDenoiser(image, PROCESS)(x, t), t)
    torch.testing.assert_close(x0, image, rtol=0, atol=1e-4)


@pytest.mark.parametrize("train", [torch.zeros(0, 3), torch.tensor([[1.0, math.nan, 0.0]])])
def test_bad_training_sets_are_refused(train: Tensor) -> None:
    with pytest.raises(InputError, match="at least one and all finite"):
        EmpiricalDenoiser(train, PROCESS)


def test_points_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="Points of 2 values do not fit images of 3"):
        EmpiricalDenoiser(torch.zeros(1, 3), PROCESS)(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long))
