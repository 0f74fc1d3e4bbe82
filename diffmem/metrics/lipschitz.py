"""How steep a network is: the largest singular value of its Jacobian in x_t, at held-out images with their noise.

    L(x_t, t) = max over |v| = 1 of |J v|,   J = d eps_hat(x_t, t) / d x_t

found by power iteration, v <- J^T J v / |J^T J v|, with products alone: J itself is never held. All images go through
it at once, since none enters the prediction of another. The largest L over the images is a lower bound of the Lipschitz
constant at that t. Images and noise are the same at every step and for every run, so curves along training are paired.

Letters: P images.
"""

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from diffmem import rng
from diffmem.diffusion.process import Denoiser, Process
from diffmem.metrics.losses import evaluating, noise_pairs

ITERATIONS = 30


def lipschitz(
    model: Denoiser, process: Process, images: Tensor, *, t: tuple[int, ...], iterations: int = ITERATIONS
) -> dict[str, float]:
    """The columns `lipschitz_t<t>`, the largest over `images` [P, ...], and `lipschitz_mean_t<t>`, at each time in `t`.

    `model(x, t)` -> epsilon, called in eval mode and left in the mode it came in. Raises InputError for no images and
    for times the process lacks.
    """
    columns: dict[str, float] = {}
    with evaluating(model):
        for time in t:
            (x0, eps), *_ = noise_pairs(process, images, time, tile=len(images), draws=len(images))
            times = torch.full((len(x0),), time, device=x0.device)
            found = steepest(model, process.noise(x0, eps, times), times, iterations=iterations)
            columns |= {f"lipschitz_t{time}": float(found.max()), f"lipschitz_mean_t{time}": float(found.mean())}
    return columns


@torch.enable_grad()
def steepest(model: Denoiser, x: Tensor, t: Tensor, *, iterations: int = ITERATIONS) -> Tensor:
    """The largest singular value [P] of the Jacobian of `model` in each of x [P, ...] at times t [P].

    From below, as power iteration comes to it; the first v is the same in every call. J v is the gradient in u of
    v . J^T u (Townsend 2017, "A new trick for calculating Jacobian vector products").
    """
    x = x.detach().requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):  # the only attention that can be differentiated twice
        predicted = model(x, t)
        u = torch.zeros_like(predicted, requires_grad=True)
        (transposed,) = torch.autograd.grad(predicted, x, u, create_graph=True)
        v = _unit(rng.normal(tuple(x.shape), "lipschitz").to(x))
        for _ in range(iterations):
            (along,) = torch.autograd.grad(transposed, u, v, retain_graph=True)
            (back,) = torch.autograd.grad(predicted, x, along, retain_graph=True)
            v = _unit(back)
    return _norm(along)


def _norm(v: Tensor) -> Tensor:
    return torch.linalg.vector_norm(v.flatten(1), dim=1)


def _unit(v: Tensor) -> Tensor:
    return v / _norm(v).clamp(min=torch.finfo(v.dtype).tiny).view(-1, *[1] * (v.ndim - 1))
