"""Samplers on exact problems: a Gaussian, whose epsilon is closed-form, and one point that all must find."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, HeunDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diffmem import rng
from diffmem.config.diffusion import (
    DDIMSampler,
    DDPMSampler,
    DiffusionConfig,
    HeunSampler,
    LinearDiffusion,
    ReferenceSampler,
    SamplerConfig,
)
from diffmem.diffusion.process import Denoiser, Process
from diffmem.diffusion.sampler import initial_noise, sample
from diffmem.diffusion.scheduler import scheduler, trailing_times
from diffmem.diffusion.target import Target
from diffmem.errors import InputError
from tests.helpers.paths import EDM, FLOW, LINEAR

DIFFUSION = LINEAR
SAMPLERS: dict[str, SamplerConfig] = {
    "ddim": DDIMSampler(calls=500),
    "ddpm": DDPMSampler(calls=500),
    "reference": ReferenceSampler(calls=99),
    "heun": HeunSampler(calls=199),
}
OTHERS: dict[str, tuple[DiffusionConfig, SamplerConfig]] = {
    "flow": (FLOW, DDIMSampler(calls=200)),
    "edm": (EDM, DDIMSampler(calls=200)),
    "flow, heun": (FLOW, HeunSampler(calls=79)),
    "edm, heun": (EDM, HeunSampler(calls=79)),
}


@pytest.fixture(params=SAMPLERS)
def sampler(request: pytest.FixtureRequest) -> SamplerConfig:
    return SAMPLERS[request.param]


@pytest.fixture(params=OTHERS)
def other(request: pytest.FixtureRequest) -> tuple[DiffusionConfig, SamplerConfig]:
    return OTHERS[request.param]


def gaussian(mean: float, std: float, diffusion: DiffusionConfig = DIFFUSION) -> Denoiser:
    """The exact epsilon of data N(mean, std^2): E[eps | x_t]."""
    process = Process.from_config(diffusion)

    def epsilon(x: Tensor, t: Tensor) -> Tensor:
        signal, sigma = process.coefficients(t, x)
        return sigma * (x - signal * mean) / (signal**2 * std**2 + sigma**2)

    return epsilon


def test_every_sampler_draws_a_gaussian(sampler: SamplerConfig) -> None:
    noise = initial_noise(4000, (2,))
    x = sample(gaussian(0.7, 0.5), noise, diffusion=DIFFUSION, sampler=sampler)
    # 4 standard errors of 8,000 draws, and the bias of finite steps (1 percent of the std)
    assert abs(float(x.mean()) - 0.7) < 4 * 0.5 / 8000**0.5 + 0.005
    assert abs(float(x.std()) - 0.5) < 4 * 0.5 / 16000**0.5 + 0.005


def test_a_gaussian_is_drawn_along_every_path(other: tuple[DiffusionConfig, SamplerConfig]) -> None:
    path, sampler = other
    x = sample(gaussian(0.7, 0.5, path), initial_noise(4000, (2,)), diffusion=path, sampler=sampler)
    assert abs(float(x.mean()) - 0.7) < 4 * 0.5 / 8000**0.5 + 0.005
    assert abs(float(x.std()) - 0.5) < 4 * 0.5 / 16000**0.5 + 0.01


def test_a_single_point_is_found_along_every_path(other: tuple[DiffusionConfig, SamplerConfig]) -> None:
    path, sampler = other
    x = sample(gaussian(-0.3, 1e-6, path), initial_noise(20, (3,)), diffusion=path, sampler=sampler)
    torch.testing.assert_close(x, torch.full_like(x, -0.3), atol=1e-4, rtol=0)


def answers(path: DiffusionConfig) -> tuple[Denoiser, Denoiser]:
    """A network that predicts what `path` asks for, and the denoiser it is."""
    target = Target.of(path, Process.from_config(path))

    def network(x: Tensor, t: Tensor) -> Tensor:
        return torch.sin(2 * x) * (1 + 0.01 * t.view(-1, *[1] * (x.ndim - 1)))

    return network, target.denoiser(network)


def test_a_flow_is_sampled_as_diffusers_does() -> None:
    """Its velocities, stepped by FlowMatchEulerDiscreteScheduler at the same u: the same samples."""
    network, denoiser = answers(FLOW)
    oracle: Any = scheduler(FLOW)
    noise = initial_noise(6, (1, 4, 4))
    oracle.set_timesteps(sigmas=[(t + 0.5) / FLOW.T for t in trailing_times(FLOW.T, 20)])
    x = noise * ((0.9995**2 + 0.0005**2) ** 0.5)
    for t in oracle.timesteps:
        x = oracle.step(network(x, t.expand(6)), t, x).prev_sample
    got = sample(denoiser, noise, diffusion=FLOW, sampler=DDIMSampler(calls=20))
    torch.testing.assert_close(got, x, rtol=1e-4, atol=1e-4)


def test_edm_is_sampled_as_diffusers_does() -> None:
    """Its preconditioned network, scaled and stepped by EDMEulerScheduler at the same sigma: the same samples."""
    network, denoiser = answers(EDM)
    oracle: Any = scheduler(EDM)
    noise = initial_noise(6, (1, 4, 4))
    ramp = [1 - t / (EDM.T - 1) for t in trailing_times(EDM.T, 20)]
    oracle.set_timesteps(20, sigmas=torch.tensor(ramp, dtype=torch.float64))
    x = noise * oracle.init_noise_sigma
    for t in oracle.timesteps:
        x = oracle.step(network(oracle.scale_model_input(x, t), t.expand(6)), t, x).prev_sample
    got = sample(denoiser, noise, diffusion=EDM, sampler=DDIMSampler(calls=20))
    torch.testing.assert_close(got, x, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in diffusers' own code
def test_heun_is_that_of_diffusers() -> None:
    """HeunDiscreteScheduler steps x / a in s / a, and asks the network at x."""
    oracle: Any = HeunDiscreteScheduler(
        num_train_timesteps=1000, beta_start=1e-4, beta_end=2e-2, beta_schedule="linear", timestep_spacing="trailing"
    )
    oracle.set_timesteps(20)
    denoiser, noise = gaussian(0.3, 0.5), initial_noise(6, (3,))
    x = noise / float(Process.from_config(DIFFUSION).alpha_bar[-1].sqrt())
    for t in oracle.timesteps:
        seen = oracle.scale_model_input(x, t)
        x = oracle.step(denoiser(seen, t.long().expand(6)), t, x).prev_sample
    got = sample(denoiser, noise, diffusion=DIFFUSION, sampler=HeunSampler(calls=39))
    torch.testing.assert_close(got, x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("kind", "order"), [(DDIMSampler, 1), (HeunSampler, 2)])
def test_the_error_falls_with_the_order_of_the_method(kind: type[SamplerConfig], order: int) -> None:
    """EDM's path of N(0, 0.5^2), whose flow from sigma to 0 is linear: twice the steps, 2^order times less error."""
    noise = initial_noise(200, (1,)).double()
    exact = 0.5 * noise * (80**2 + 1) ** 0.5 / (80**2 + 0.25) ** 0.5
    steps = [10, 20, 40]
    errors = []
    for count in steps:
        sampler = kind(calls=count if order == 1 else 2 * count - 1)
        x = sample(gaussian(0.0, 0.5, EDM), noise, diffusion=EDM, sampler=sampler)
        errors.append(float((x - exact).abs().mean()))
    slope = torch.tensor(errors).log().diff() / torch.tensor(steps).float().log().diff()
    assert ((slope + order).abs() < 0.35).all(), slope


@pytest.mark.parametrize("kind", [DDPMSampler, ReferenceSampler])
def test_a_sampler_of_another_path_is_refused(kind: type[SamplerConfig]) -> None:
    with pytest.raises(InputError, match="use sampler=ddim or heun"):
        kind(calls=10).check(FLOW)
    kind(calls=10).check(LINEAR)


def test_an_even_number_of_calls_is_no_heun() -> None:
    with pytest.raises(InputError, match=r"sampler.calls=50 is even.*give 49 or 51"):
        HeunSampler(calls=50)


def test_every_sampler_finds_a_single_point(sampler: SamplerConfig) -> None:
    x = sample(gaussian(-0.3, 1e-6), initial_noise(20, (3,)), diffusion=DIFFUSION, sampler=sampler)
    # `reference` ends at index 0, where the noise has a standard deviation of 0.01 by construction
    torch.testing.assert_close(x, torch.full_like(x, -0.3), atol=0.05 if sampler.name == "reference" else 1e-4, rtol=0)


def test_samples_do_not_depend_on_the_tile_or_on_how_many(sampler: SamplerConfig) -> None:
    noise = initial_noise(7, (2, 2))
    denoiser = gaussian(0.2, 0.4)
    whole = sample(denoiser, noise, diffusion=DIFFUSION, sampler=sampler)
    tiled = sample(denoiser, noise, diffusion=DIFFUSION, sampler=sampler, tile=3)
    fewer = sample(denoiser, initial_noise(4, (2, 2)), diffusion=DIFFUSION, sampler=sampler)
    torch.testing.assert_close(tiled, whole)
    torch.testing.assert_close(fewer, whole[:4])


def test_the_number_of_calls_is_the_number_asked_for(sampler: SamplerConfig) -> None:
    times: list[int] = []

    def counting(x: Tensor, t: Tensor) -> Tensor:
        times.append(int(t[0]))
        return x

    sample(counting, initial_noise(2, (1,)), diffusion=DIFFUSION, sampler=sampler)
    assert len(times) == sampler.calls
    assert times == sorted(times, reverse=True)
    assert times[0] == 999


def test_trailing_times_and_the_reference_times_by_hand() -> None:
    for sampler, first, last in (
        (DDIMSampler(calls=50), [999, 979, 959], 19),
        (ReferenceSampler(calls=99), [999, 988, 978], 10),
    ):
        times: list[int] = []

        def counting(x: Tensor, t: Tensor, times: list[int] = times) -> Tensor:
            times.append(int(t[0]))
            return x

        sample(counting, initial_noise(1, (1,)), diffusion=DIFFUSION, sampler=sampler)
        assert times[:3] == first
        assert times[-1] == last


@pytest.mark.parametrize("T", [75, 128, 997, 1000])
@pytest.mark.parametrize(("kind", "std"), [(DDIMSampler, 0.37), (DDPMSampler, 0.35)])
def test_calls_need_not_divide_the_times(kind: type[SamplerConfig], std: float, T: int) -> None:
    """N(0.7, 0.4^2) by 50 calls, under one schedule cut into T times: 50 calls keep as much of the spread for any T."""
    diffusion = LinearDiffusion(T=T, beta_first=0.1 / T, beta_last=20 / T)
    noise = initial_noise(4000, (2,))
    x = sample(gaussian(0.7, 0.4, diffusion), noise, diffusion=diffusion, sampler=kind(calls=50))
    assert abs(float(x.mean()) - 0.7) < 4 * 0.4 / 8000**0.5
    assert abs(float(x.std()) - std) < 4 * 0.4 / 16000**0.5


@pytest.mark.parametrize(("T", "calls"), [(1000, 50), (1000, 1), (96, 12), (20, 20)])
@pytest.mark.parametrize("kind", [DDIMSampler, DDPMSampler])
def test_where_the_calls_divide_the_times_the_bytes_are_those_of_diffusers(
    kind: type[SamplerConfig], T: int, calls: int
) -> None:
    diffusion = LinearDiffusion(T=T, beta_first=1e-4, beta_last=2e-2)
    denoiser, noise = gaussian(0.1, 0.6, diffusion), initial_noise(5, (3,))
    oracle, x = scheduler(diffusion), noise
    oracle.set_timesteps(calls)
    for t in oracle.timesteps.tolist():
        options: dict[str, Any] = {}
        if kind is DDPMSampler:
            options = {"eta": 1.0, "variance_noise": rng.normal((5, 3), "ancestral noise", t)}
        x = oracle.step(denoiser(x, torch.full((5,), t)), t, x, **options).prev_sample
    assert torch.equal(sample(denoiser, noise, diffusion=diffusion, sampler=kind(calls=calls)), x)


@given(T=st.integers(1, 3000), data=st.data())
def test_trailing_times_are_distinct_and_nearly_even(T: int, data: st.DataObject) -> None:
    calls = data.draw(st.integers(1, T))
    known = trailing_times(T, calls)
    steps = -np.diff([*known, -1])
    assert known[0] == T - 1
    assert steps.min() >= max(1, T / calls - 1)
    assert steps.max() <= T / calls + 1


def test_reference_is_ddim_on_its_own_times() -> None:
    """Against diffusers' DDIM step between the same pairs of times; it steps back by T // num_inference_steps."""
    oracle: Any = DDIMScheduler(clip_sample=False, beta_start=1e-4, beta_end=2e-2, num_train_timesteps=1000)
    denoiser = gaussian(0.3, 0.5)
    x = noise = initial_noise(5, (3,))
    for t, earlier in pairwise(torch.linspace(0, 999, 100, dtype=torch.float64).long().flip(0).tolist()):
        oracle.register_to_config(num_train_timesteps=t - earlier)
        oracle.num_inference_steps = 1
        x = oracle.step(denoiser(x, torch.full((5,), t)), t, x).prev_sample
    got = sample(denoiser, noise, diffusion=DIFFUSION, sampler=SAMPLERS["reference"])
    torch.testing.assert_close(got, x, rtol=1e-4, atol=1e-4)


def test_ddim_error_falls_like_its_step() -> None:
    """A first-order integrator: twice the calls, half the error (slope of log error against log calls near -1)."""
    noise = initial_noise(500, (1,))
    process = Process.from_config(DIFFUSION)
    variance = process.alpha_bar[-1] * 0.25 + 1 - process.alpha_bar[-1]
    exact = 0.5 * noise / variance.sqrt()  # the probability flow of a Gaussian is linear
    calls = [25, 50, 100, 200]
    errors = []
    for count in calls:
        x = sample(gaussian(0.0, 0.5), noise, diffusion=DIFFUSION, sampler=DDIMSampler(calls=count))
        errors.append(float((x - exact).abs().mean()))
    slope = torch.tensor(errors).log().diff() / torch.tensor(calls).float().log().diff()
    assert ((slope > -1.3) & (slope < -0.7)).all(), slope


def test_the_stored_scheduler_is_the_one_that_sampled() -> None:
    stored = scheduler(DIFFUSION)
    again: Any = DDIMScheduler.from_config(stored.config)
    assert again.config.clip_sample is False
    again.set_timesteps(500)
    x = noise = initial_noise(3, (2,))
    denoiser = gaussian(0.1, 0.6)
    for t in again.timesteps.tolist():
        x = again.step(denoiser(x, torch.full((3,), t)), t, x).prev_sample
    got = sample(denoiser, noise, diffusion=DIFFUSION, sampler=SAMPLERS["ddim"])
    torch.testing.assert_close(got, x, rtol=0, atol=1e-6)
