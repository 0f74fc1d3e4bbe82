"""The epsilon-loss at fixed diffusion times, with common random numbers.

    loss(t) = mean over images, repeats and values of (eps_hat(x_t, t) - eps)^2      (Ho et al. 2020, Eq. 14)

The noise of (image position, t, repeat) is the same at every step, for every n and run, for training and test
images alike: curves are paired, and their differences are far less noisy than they are.

Letters: N images, R repeats with N R >= 1024.
"""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from diffmem import rng
from diffmem.diffusion.process import Denoiser, Process
from diffmem.errors import InputError

DRAWS = 1024  # least number of images x repeats behind one loss


def epsilon_losses(
    model: Denoiser, process: Process, images: Tensor, *, t: tuple[int, ...], tile: int = 512
) -> dict[int, float]:
    """Loss per value on `images` [N, ...] (model space) at each diffusion time in `t`.

    `model(x, t)` returns epsilon; it is called in eval mode, without gradients, on `tile` images at once, and left
    in the mode it came in. Returns {t: loss}. Raises InputError for no images and for times the process lacks.
    """
    losses = {}
    with evaluating(model):
        for time in t:
            total, count = 0.0, 0
            for x0, eps in noise_pairs(process, images, time, tile):
                times = torch.full((len(x0),), time, device=x0.device)
                error = model(process.noise(x0, eps, times), times).float() - eps
                total += float(error.square().flatten(1).mean(1).double().cpu().sum())
                count += len(x0)
            losses[time] = total / count
    return losses


def noise_pairs(process: Process, images: Tensor, t: int, tile: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images with their common noise at time `t`: (x0, eps), each [up to `tile`, ...], every image R times."""
    if not len(images):
        raise InputError("There are no images to measure a loss on.")
    if not 0 <= t < process.T:
        raise InputError(f"The process has no diffusion time t={t}: times are 0 to {process.T - 1}.")
    repeats = math.ceil(DRAWS / len(images))
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
