"""Two measures that look at the denoiser itself: its PSNR on seen and unseen images, and its distance to the exact
denoiser of the training set.

    PSNR(t) = mean over images of 10 log10(1 / mean square of (x0_hat(x_t) - x0)),  pixels in [0, 1]
    gap(t) = PSNR on training images - PSNR on held-out images        direction: higher = more memorized
    score(t) = E|s_theta - s_emp| / E|s_emp| on noised held-out images      direction: lower = more memorized

Noise of (image position, t, repeat) is that of the losses: the same for every model.
Source: PSNR gap, Kadkhodaie et al. 2024, Fig. 1; distance to the empirical score, Bonnaire et al. 2025.

Letters: N images, d values in one image.
"""

import torch
from torch import Tensor

from diffmem.diffusion.empirical import EmpiricalDenoiser
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


def empirical_score_distance(
    denoiser: Denoiser, process: Process, train: Tensor, heldout: Tensor, t: int, *, tile: int = 512
) -> float:
    """E|s_theta - s_emp| / E|s_emp| at time `t`, on noised `heldout` images; s_emp is the exact score of `train`."""
    exact = EmpiricalDenoiser(train, process)
    apart = size = 0.0
    with evaluating(denoiser):
        for x0, eps in noise_pairs(process, heldout, t, tile):
            times = torch.full((len(x0),), t, device=x0.device)
            x = process.noise(x0, eps, times)
            known = (
                exact(x, times).flatten(1).cpu().double()
            )  # score = -epsilon / sqrt(1 - alpha_bar): the factor cancels
            apart += float((denoiser(x, times).flatten(1).cpu().double() - known).norm(dim=1).sum())
            size += float(known.norm(dim=1).sum())
    return apart / size
