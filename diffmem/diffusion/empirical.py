"""The exact denoiser of a training set: what a network that minimizes the training loss to the end would compute.

    p_t(x) = 1/n sum_mu N(x; sqrt(alpha_bar) a_mu, (1 - alpha_bar) I)
    E[x_0 | x_t = x] = softmax_mu(-|x - sqrt(alpha_bar) a_mu|^2 / 2 (1 - alpha_bar)) . a_mu

Sampling with it gives back training images: the upper bookend of every f_mem.
Letters: B points, n training images, d values in one image.
Source: Biroli, Bonnaire, de Bortoli, Mezard 2024, "Dynamical regimes of diffusion models".
"""

import math

import torch
from torch import Tensor

from diffmem.diffusion.process import Process
from diffmem.errors import InputError


class EmpiricalDenoiser:
    """Denoiser of the images `train` [n, ...] (model space): `denoiser(x, t)` returns epsilon, as a network does.

    `tile` images are visited at once, so memory does not grow with n. Any sampler runs with it.
    """

    def __init__(self, train: Tensor, process: Process, *, tile: int = 2048) -> None:
        if not len(train) or not bool(train.isfinite().all()):
            raise InputError("The exact denoiser needs training images, at least one and all finite.")
        self.train = train.flatten(1)
        self.process = process
        self.tile = tile

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Epsilon [B, ...] at points `x` [B, ...] and times `t` [B], in the type of `x`."""
        points, signal, variance = self._prepare(x, t)
        epsilon = (points - signal * self._x0(points, signal, variance)) / variance.sqrt()
        return epsilon.view(x.shape).to(x.device, x.dtype)

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """The gradient of log p_t at `x`: [B, ...], in the type of `x`."""
        points, signal, variance = self._prepare(x, t)
        score = (signal * self._x0(points, signal, variance) - points) / variance
        return self.process.unscaled(score, t).view(x.shape).to(x.device, x.dtype)

    def _prepare(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x / c [B, d] in float64, sqrt(alpha_bar) and 1 - alpha_bar [B, 1], where float64 can be had."""
        device = torch.device("cpu") if x.device.type == "mps" else x.device
        if x[0].numel() != self.train.shape[1]:
            raise InputError(f"Points of {x[0].numel()} values do not fit images of {self.train.shape[1]}.")
        alpha_bar = self.process.alpha_bar.to(device)[t.to(device)].double()[:, None]
        points = self.process.unscaled(x.detach().flatten(1).to(device).double(), t)
        return points, alpha_bar.sqrt(), 1 - alpha_bar

    def _x0(self, points: Tensor, signal: Tensor, variance: Tensor) -> Tensor:
        """E[x_0 | x_t] [B, d]: a softmax over images whose largest exponent is only known at the end."""
        largest = torch.full((len(points), 1), -math.inf, dtype=torch.float64, device=points.device)
        weight, mean = torch.zeros_like(largest), torch.zeros_like(points)
        for tile in self.train.split(self.tile):
            images = tile.to(points.device).double()
            # |x|^2 is common to all images. At small t the rest is divided by a small variance: hence float64.
            square = images.square().sum(1)
            # exponent: [B, tile]
            exponent = signal * (points @ images.T - signal * square / 2) / variance
            top = torch.maximum(largest, exponent.amax(1, keepdim=True))
            share, rescale = (exponent - top).exp(), (largest - top).exp()
            weight = weight * rescale + share.sum(1, keepdim=True)
            mean = mean * rescale + share @ images
            largest = top
        return mean / weight
