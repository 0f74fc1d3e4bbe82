"""From pure noise to samples: (denoiser, initial noise, sampler settings) -> x. Knows no data set.

`ddim` is diffusers' DDIMScheduler with trailing times (999, 979, ..., 19 for 50 calls of T = 1000), the last step
to alpha_bar = 1, no clipping (Song, Meng, Ermon 2021, Eq. 12, eta = 0). `ddpm` is the same with eta = 1, ancestral
sampling. `reference` is the study's: `calls` + 1 times evenly spaced from T-1 to 0, ending at index 0 without a last
denoising call (Bonnaire et al. 2025).

The denoiser is called as `denoiser(x, t)`, x [B, ...], t [B], and returns epsilon. Noise is given or keyed by the
sample's position, so samples do not depend on the tile.
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
) -> Tensor:
    """Samples in model space, of `noise`'s shape, on its device. `tile` images go through one network call."""

    def epsilon(x: Tensor, t: int) -> Tensor:
        parts = [denoiser(part, torch.full((len(part),), t, device=x.device)) for part in x.split(tile)]
        return torch.cat(parts)

    walk = _reference if isinstance(sampler, ReferenceSampler) else _diffusers
    return walk(epsilon, noise, diffusion, sampler)


def _diffusers(
    epsilon: Callable[[Tensor, int], Tensor], x: Tensor, diffusion: DiffusionConfig, sampler: SamplerConfig
) -> Tensor:
    ddim = scheduler(diffusion)
    ddim.set_timesteps(sampler.calls)
    for t in ddim.timesteps.tolist():
        options: dict[str, Any] = {}
        if isinstance(sampler, DDPMSampler):
            options = {"eta": 1.0, "variance_noise": rng.normal(tuple(x.shape), "ancestral noise", t).to(x.device)}
        x = ddim.step(epsilon(x, t), t, x, **options).prev_sample
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
