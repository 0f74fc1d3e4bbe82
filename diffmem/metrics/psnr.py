"""The denoising PSNR of a network: on images it was trained on it is higher than on others, once it memorizes.

    PSNR(t) = mean over images of 10 log10(1 / mean square of (x0_hat(x_t) - x0)),  pixels in [0, 1]
    gap(t) = PSNR on training images - PSNR on held-out images        direction: higher = more memorized

Noise of (image position, t, repeat) is that of the losses: the same for every model.
Source: Kadkhodaie et al. 2024, "Generalization in diffusion models arises from geometry-adaptive harmonic
representations", Fig. 1.

Letters: N images, d values in one image.
"""

import torch
from torch import Tensor

from diffmem.diffusion.process import Denoiser, Process
from diffmem.metrics.losses import evaluating, noise_pairs


def psnr(denoiser: Denoiser, process: Process, images: Tensor, t: int, *, scale: float, tile: int = 512) -> float:
    """Mean PSNR in dB of x_0 denoised from time `t`, over `images` [N, ...] in model space, pixels times `scale`."""
    total, count = 0.0, 0
    with evaluating(denoiser):
        for x0, eps in noise_pairs(process, images, t, tile):
            times = torch.full((len(x0),), t, device=x0.device)
            x = process.noise(x0, eps, times)
            error = (process.x0(x, denoiser(x, times).float(), times) - x0) / scale
            total += float(-10 * error.cpu().double().square().flatten(1).mean(1).clamp(min=1e-20).log10().sum())
            count += len(x0)
    return total / count
