"""From pure noise to samples: (denoiser, initial noise, sampler settings) -> x. Knows no data set.

`ddim` is diffusers' DDIMScheduler with trailing times (999, 979, ..., 19 for 50 calls of T = 1000; rounded where the
calls do not divide T), the last step to alpha_bar = 1, no clipping (Song, Meng, Ermon 2021, Eq. 12, eta = 0). `ddpm` is
the same with eta = 1, ancestral sampling. `reference` is the study's: `calls` + 1 times evenly spaced from T-1 to 0,
ending at index 0 without a last denoising call (Bonnaire et al. 2025).

The denoiser is called as `denoiser(x, t)`, x [B, ...], t [B], and returns epsilon; where samples have labels also as
`denoiser(x, t, labels)`, and what is stepped with is

    epsilon(x, t) + guidance (epsilon(x, t, labels) - epsilon(x, t))    (Ho and Salimans 2022, Eq. 6: guidance = 1 + w)

Noise is given or keyed by the sample's position, so samples do not depend on the tile.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from diffmem import rng
from diffmem.config.diffusion import DDPMSampler, DiffusionConfig, LinearDiffusion, ReferenceSampler, SamplerConfig
from diffmem.diffusion.process import Denoiser, Process


def scheduler(diffusion: DiffusionConfig) -> Any:
    """diffusers' DDIMScheduler of this process: what is stored beside each checkpoint."""
    from diffusers import DDIMScheduler  # seconds to import

    if isinstance(diffusion, LinearDiffusion):
        schedule = {"beta_schedule": "linear", "beta_start": diffusion.beta_first, "beta_end": diffusion.beta_last}
    else:
        schedule = {"beta_schedule": "squaredcos_cap_v2"}
    return DDIMScheduler(
        num_train_timesteps=diffusion.T,
        **schedule,
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )


def spaced(scheduler: Any, calls: int) -> tuple[Any, list[int]]:
    """diffusers' DDIM `scheduler` of T times cut down to `calls` of them, and these times, descending.

    Its own times are calls - 1, ..., 0: step with these, and ask the network at those. diffusers' own step goes from t
    to t - T // calls, which is the next time only where `calls` divides T; between neighbours of a shorter schedule no
    step misses (Nichol & Dhariwal 2021, section 4).
    """
    times = trailing_times(scheduler.config.num_train_timesteps, calls)
    short = type(scheduler).from_config(scheduler.config, num_train_timesteps=calls, timestep_spacing="trailing")
    short.alphas_cumprod = scheduler.alphas_cumprod[times[::-1]]
    short.set_timesteps(calls)
    return short, times


def trailing_times(T: int, calls: int) -> list[int]:
    """`calls` <= T times from T - 1 down, as evenly spaced as whole numbers are: the step after the last ends at -1."""
    return [round(T * left / calls) - 1 for left in range(calls, 0, -1)]


def initial_noise(samples: int, shape: tuple[int, ...]) -> Tensor:
    """The noise every sampling run starts from, [samples, *shape]: the same at every step, n and seed."""
    return rng.normal((samples, *shape), "sampling noise")


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    noise: Tensor,
    *,
    diffusion: DiffusionConfig,
    sampler: SamplerConfig,
    tile: int = 512,
    first: int = 0,
    labels: Tensor | None = None,
) -> Tensor:
    """Samples in model space, of `noise`'s shape [M, ...], on its device. `tile` images go through one network call.

    `noise` is that of the samples from place `first` on. `labels` [M] are told to the denoiser, as much as
    `sampler.guidance` says.
    """
    told = labels if sampler.guidance else None

    def epsilon(x: Tensor, t: int) -> Tensor:
        rows = torch.arange(len(x)).split(tile)
        return torch.cat([predict(x[part], torch.full((len(part),), t, device=x.device), part) for part in rows])

    def predict(x: Tensor, t: Tensor, rows: Tensor) -> Tensor:
        if told is None:
            return denoiser(x, t)
        labelled = denoiser(x, t, told[rows].to(x.device))
        if sampler.guidance == 1:
            return labelled
        plain = denoiser(x, t)
        return plain + sampler.guidance * (labelled - plain)

    if isinstance(sampler, ReferenceSampler):
        return _reference(epsilon, noise, diffusion, sampler)
    return _diffusers(epsilon, noise, diffusion, sampler, first)


def _diffusers(
    epsilon: Callable[[Tensor, int], Tensor],
    x: Tensor,
    diffusion: DiffusionConfig,
    sampler: SamplerConfig,
    first: int,
) -> Tensor:
    ddim, times = spaced(scheduler(diffusion), sampler.calls)
    for place, t in zip(ddim.timesteps.tolist(), times, strict=True):
        options: dict[str, Any] = {}
        if isinstance(sampler, DDPMSampler):
            noise = rng.normal((first + len(x), *x.shape[1:]), "ancestral noise", t)[first:]
            options = {"eta": 1.0, "variance_noise": noise.to(x.device)}
        x = ddim.step(epsilon(x, t), place, x, **options).prev_sample
    return x


def _reference(
    epsilon: Callable[[Tensor, int], Tensor], x: Tensor, diffusion: DiffusionConfig, sampler: SamplerConfig
) -> Tensor:
    process = Process.from_config(diffusion)
    for t, earlier in _reference_times(diffusion.T, sampler.calls):
        eps = epsilon(x, t)
        x0 = process.x0(x, eps, torch.tensor([t]))
        x = process.noise(x0, eps, torch.tensor([earlier]))  # Song, Meng, Ermon 2021, Eq. 12, eta = 0
    return x


def _reference_times(T: int, calls: int) -> Iterator[tuple[int, int]]:
    times = torch.linspace(0, T - 1, calls + 1, dtype=torch.float64).long().flip(0).tolist()
    return pairwise(times)
