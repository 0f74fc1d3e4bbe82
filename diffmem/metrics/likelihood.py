"""The density of a diffusion model, exactly as its probability flow has it, and its divergence from the true one.

With u = log(sigma / sqrt(alpha_bar)), sigma = sqrt(1 - alpha_bar), the probability flow (Song et al. 2021, Eq. 13) of a
network that predicts epsilon, and the density along it, are

    dx/du = sigma (epsilon(x, t(u)) - sigma x)
    log q(x_u) = log q(x_u') + integral from u to u' of sigma (tr d epsilon/dx - sigma d)

from the earliest time that is trained, t = 1, to t = T - 1, where q is N(0, I), from which samplers start. A Gaussian
of unit variance does not move, and copies of training points make nothing stiff. t(u) is interpolated between whole t.

    KL(p || q) = E_p[log p(x) - log q(x)],   both at t = 1: it does not change along an exact flow

Letters: B points, d values in one point.
"""

import math

import numpy as np
import torch
from scipy.integrate import solve_ivp
from scipy.interpolate import PchipInterpolator
from torch import Tensor
from torch.func import vjp, vmap

from diffmem.data import mixture
from diffmem.diffusion.process import Denoiser, Process
from diffmem.metrics.losses import evaluating, noise_pairs

FIRST = 1  # diffusion time at which densities are compared: the earliest that training draws
TOLERANCE = 1e-4  # relative and absolute, of the solver
COARSER = 10.0  # times the tolerance, for the second solution that shows the error
CALLS = 660  # of epsilon and its derivatives, of both solutions, as seen on trained networks


def mixture_divergence(
    model: Denoiser, process: Process, heldout: Tensor, *, mu: float, sigma: float, labels: Tensor | None = None
) -> dict[str, float]:
    """The columns of `divergence` of a network from the Gaussian mixture it was trained on.

    `heldout` [B, d] are points of the mixture of means +-`mu` and deviation `sigma`, in model space; of components
    `labels` [B] where the network is told them: then both densities are those of the components.
    """
    x0, eps = next(noise_pairs(process, heldout, FIRST, len(heldout), len(heldout)))
    x = process.noise(x0, eps, torch.full((len(x0),), FIRST, device=x0.device))
    told = [] if labels is None else [labels.to(x.device)]
    known = None if labels is None else labels.cpu()
    log_p = mixture.log_density(x.cpu().double(), float(process.alpha_bar[FIRST]), mu, sigma, known)
    with evaluating(model):
        return divergence(lambda points, t: model(points, t, *told), process, x, log_p)


def divergence(epsilon: Denoiser, process: Process, x: Tensor, log_p: Tensor) -> dict[str, float]:
    """KL(p || q) in nats: `kl`, its standard error `kl_se` over the points, and `kl_error`.

    `x` [B, d] are points of the true density p at t = 1 and `log_p` [B] its logarithm there; `epsilon` as for
    `log_density`. `kl_error` is by how much kl moves when the solver's tolerance is ten times as large: an upper bound
    of its numerical error.
    """
    fine, coarse = (log_p - log_density(epsilon, process, x, tol) for tol in (TOLERANCE, COARSER * TOLERANCE))
    return {
        "kl": float(fine.mean()),
        "kl_se": float(fine.std()) / math.sqrt(len(x)),
        "kl_error": abs(float(fine.mean() - coarse.mean())),
    }


@torch.no_grad()
def log_density(epsilon: Denoiser, process: Process, x: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """log q(x) at t = 1 of points `x` [B, d], in nats: float64 [B].

    `epsilon(x, t)` takes any t from 1 to T - 1, whole or not, float [B], and is differentiated d times. The
    points are solved together (Dormand and Prince 1980, adaptive), each step as small as they need on average.
    """
    alpha_bar = process.alpha_bar.cpu().double().numpy()[FIRST:]
    u = np.log((1 - alpha_bar) / alpha_bar) / 2
    time = PchipInterpolator(u, np.arange(FIRST, process.T))
    count, d = x.shape
    rows = torch.eye(d, dtype=x.dtype, device=x.device)[:, None].expand(d, count, d)

    def slope(place: float, state: np.ndarray) -> np.ndarray:
        points = torch.from_numpy(state[: count * d]).reshape(count, d).to(x)
        t = torch.full((count,), float(time(place)), dtype=x.dtype, device=x.device)
        sigma = 1 / math.sqrt(1 + math.exp(-2 * place))
        value, pulled, *_ = vjp(lambda x: epsilon(x, t), points)
        (gradients,) = vmap(pulled)(rows)  # of each value of epsilon: [d, B, d]
        moved = sigma * (value - sigma * points)
        spread = sigma * (torch.einsum("kbk->b", gradients) - sigma * d)
        return torch.cat([moved.flatten(), spread]).double().cpu().numpy()

    start = np.concatenate([x.double().cpu().flatten().numpy(), np.zeros(count)])
    solved = solve_ivp(slope, (u[0], u[-1]), start, rtol=tolerance, atol=tolerance, t_eval=u[-1:])
    end = solved.y[:, -1]
    last = end[: count * d].reshape(count, d)
    gaussian = -(last**2).sum(axis=1) / 2 - d / 2 * math.log(2 * math.pi)
    return torch.from_numpy(gaussian + end[count * d :])
