"""The epsilon-loss at fixed diffusion times, with common random numbers.

    loss(t) = mean over images, repeats and values of (eps_hat(x_t, t) - eps)^2      (Ho et al. 2020, Eq. 14)

The noise of (image position, t, repeat) is the same at every step, for every n and run, for training and test
images alike: curves are paired, and their differences are far less noisy than they are.

The standard error is that of a mean of N R draws taken as independent. The images are the same at every step, so it is
an upper bound of how much other noise would move the loss: what of it is between images stays where it is.

Letters: N images, R repeats, the fewest with N R >= `draws`.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diffmem import rng
from diffmem.diffusion.process import Denoiser, Process
from diffmem.errors import InputError

DRAWS = 1024  # least number of images x repeats behind one loss, where nothing else is asked for


class Loss(NamedTuple):
    """A loss and its standard error."""

    value: float
    se: float


def epsilon_losses(
    model: Denoiser,
    process: Process,
    images: Tensor,
    *,
    t: tuple[int, ...],
    tile: int = 512,
    draws: int = DRAWS,
    labels: Tensor | None = None,
) -> dict[int, Loss]:
    """Loss per value on `images` [N, ...] (model space) at each diffusion time in `t`, from at least `draws` draws.

    `model(x, t)` returns epsilon, or `model(x, t, labels)` where the images have `labels` [N]; it is called in eval
    mode, without gradients, on `tile` images at once, and left in the mode it came in. Returns {t: loss}. Raises
    InputError for no images and for times the process lacks.
    """
    losses = {}
    with evaluating(model):
        for time in t:
            total, count, parts = 0.0, 0, []
            for x0, eps in noise_pairs(process, images, time, tile, draws):
                times = torch.full((len(x0),), time, device=x0.device)
                told = [] if labels is None else [labels[torch.arange(count, count + len(x0)) % len(images)]]
                error = model(process.noise(x0, eps, times), times, *told).float() - eps
                parts.append(error.square().flatten(1).mean(1).double().cpu())
                total, count = total + float(parts[-1].sum()), count + len(x0)
            each = torch.cat(parts)  # [N R]
            losses[time] = Loss(
                total / len(each), math.sqrt(float(each.var(correction=min(1, len(each) - 1))) / len(each))
            )
    return losses


def noise_pairs(
    process: Process, images: Tensor, t: int, tile: int, draws: int = DRAWS
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images with their common noise at time `t`: (x0, eps), each [up to `tile`, ...], every image R times."""
    if not len(images):
        raise InputError("There are no images to measure a loss on.")
    if not 0 <= t < process.T:
        raise InputError(f"The process has no diffusion time t={t}: times are 0 to {process.T - 1}.")
    repeats = math.ceil(draws / len(images))
    shape = tuple(images.shape)
    eps = torch.cat([rng.normal(shape, "evaluation noise", t, repeat) for repeat in range(repeats)])
    place = torch.arange(len(eps)) % len(images)
    for part, noise in zip(place.split(tile), eps.split(tile), strict=True):
        yield images[part.to(images.device)], noise.to(images.device)


@contextlib.contextmanager
def evaluating(model: object) -> Iterator[None]:
    """Eval mode and no gradients; afterwards every part of a network is back in the mode it was in."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        with torch.no_grad():
            yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
