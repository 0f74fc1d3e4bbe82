"""From pure noise to samples: (denoiser, initial noise, sampler settings) -> x. Knows no data set.

A step from x_t to an earlier t' is x_t' = a' x_0 + s' eps, where eps is the denoiser's and x_0 follows from it, on any
path x_t = a x_0 + s eps (Song, Meng, Ermon 2021, Eq. 12, eta = 0): Euler's method for x / a in s / a, and just as well
for a flow's x_u in u and for EDM's x in sigma, so the steps of diffusers' schedulers of all of them are this one.

`ddim`: trailing times (999, 979, ..., 19 for 50 calls of T = 1000; rounded where the calls do not divide T), the last
step to x_0, no clipping. `ddpm` is the same with eta = 1, ancestral sampling, `heun` with the epsilon of both ends of a
step averaged (Karras et al. 2022, Algorithm 1), all but the last. `reference` is the study's: `calls` + 1 times evenly
spaced from T-1 to 0, ending at index 0 without a last denoising call (Bonnaire et al. 2025).

The denoiser is called as `denoiser(x, t)`, x [B, ...], t [B], and returns epsilon; where samples have labels what is
stepped with is its `guided` epsilon.

Noise is given or keyed by the sample's position, so samples do not depend on the tile.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from diffmem import rng
from diffmem.config.diffusion import (
    DDPMSampler,
    DiffusionConfig,
    HeunSampler,
    PreservingDiffusion,
    ReferenceSampler,
    SamplerConfig,
)
from diffmem.diffusion.guidance import guided
from diffmem.diffusion.process import Denoiser, Process
from diffmem.diffusion.scheduler import of_epsilon, spaced, trailing_times


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

    def epsilon(x: Tensor, t: int) -> Tensor:
        rows = torch.arange(len(x)).split(tile)
        return torch.cat([predict(x[part], torch.full((len(part),), t, device=x.device), part) for part in rows])

    def predict(x: Tensor, t: Tensor, rows: Tensor) -> Tensor:
        told = None if labels is None else labels[rows].to(x.device)
        return guided(denoiser, x, t, told, sampler.guidance)

    if isinstance(diffusion, PreservingDiffusion) and not isinstance(sampler, ReferenceSampler | HeunSampler):
        return _diffusers(epsilon, noise, diffusion, sampler, first)
    process = Process.from_config(diffusion).to(noise.device)
    x = noise if process.scale is None else (noise * process.scale[-1]).to(noise.dtype)
    return _stepped(epsilon, x, process, sampler)


def _diffusers(
    epsilon: Callable[[Tensor, int], Tensor],
    x: Tensor,
    diffusion: PreservingDiffusion,
    sampler: SamplerConfig,
    first: int,
) -> Tensor:
    ddim, times = spaced(of_epsilon(diffusion), sampler.calls)
    for place, t in zip(ddim.timesteps.tolist(), times, strict=True):
        options: dict[str, Any] = {}
        if isinstance(sampler, DDPMSampler):
            noise = rng.normal((first + len(x), *x.shape[1:]), "ancestral noise", t)[first:]
            options = {"eta": 1.0, "variance_noise": noise.to(x.device)}
        x = ddim.step(epsilon(x, t), place, x, **options).prev_sample
    return x


def _stepped(epsilon: Callable[[Tensor, int], Tensor], x: Tensor, process: Process, sampler: SamplerConfig) -> Tensor:
    def moved(eps: Tensor, t: int, earlier: int) -> Tensor:
        x0 = process.x0(x, eps, torch.tensor([t], device=x.device))
        return x0 if earlier < 0 else process.noise(x0, eps, torch.tensor([earlier], device=x.device))

    for t, earlier in pairwise(_times(process.T, sampler)):
        eps = epsilon(x, t)
        if isinstance(sampler, HeunSampler) and earlier >= 0:
            eps = (eps + epsilon(moved(eps, t, earlier), earlier)) / 2
        x = moved(eps, t, earlier)
    return x


def _times(T: int, sampler: SamplerConfig) -> list[int]:
    """The times that a sampler visits, descending; -1 is that of x_0."""
    if isinstance(sampler, ReferenceSampler):
        times: list[int] = torch.linspace(0, T - 1, sampler.calls + 1, dtype=torch.float64).long().flip(0).tolist()
        return times
    return [*trailing_times(T, sampler.steps), -1]
