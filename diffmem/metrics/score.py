"""How far a network's score is from its training set's, and from the population's where that is known.

    distance = E|s_theta - s_emp| / E|s_emp|        on any images; direction: lower = more memorized

    R  = E|s_theta - s_pop| / E|s_pop - s_emp|      on the Gaussian mixture
    R2 = (E|s_theta - s_emp| - E|s_theta - s_pop|) / E|s_pop - s_emp|

A network that knows the population has R = 0 and R2 = 1; one that knows only its training set has R = 1 and
R2 = -1. Points are x_t of held-out data under the noise of the losses; |.| is the Euclidean norm of one point's error.
Source: Bonnaire et al. 2025, arXiv 2505.17638.

Letters: n training and N held-out images, d values in one image.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from diffmem.data import mixture
from diffmem.diffusion.empirical import EmpiricalDenoiser
from diffmem.diffusion.guidance import guided
from diffmem.diffusion.process import Denoiser, Process
from diffmem.metrics.losses import DRAWS, evaluating, noise_pairs


class Told(NamedTuple):
    """The components of the mixture's points, which a network is told, and how much they count."""

    train: Tensor  # [n]
    heldout: Tensor  # [N], or more
    guidance: float


def score_errors(
    model: Denoiser,
    process: Process,
    train: Tensor,
    heldout: Tensor,
    *,
    mu: float,
    sigma: float,
    scale: float = 1.0,
    t: tuple[int, ...],
    tile: int = 512,
    draws: int = DRAWS,
    told: Told | None = None,
) -> dict[str, float]:
    """Score distances at each diffusion time in `t`, as columns of a row.

    `train` [n, d] and `heldout` [N, d] are in model space, which is the mixture of means +-`mu` and deviation
    `sigma` times `scale`; `draws` as of the losses. Where the network is `told` components, all three scores are guided
    alike. Returns for each t: `score_pop_t<t>` = E|s_theta - s_pop|, `score_emp_t<t>` = E|s_theta - s_emp|,
    `score_gap_t<t>` = E|s_pop - s_emp|, `R_t<t>` and `R2_t<t>`.
    """
    exact = _population(process, scale * mu, scale * sigma), _empirical(process, train, told)
    columns: dict[str, float] = {}
    with evaluating(model):
        for time in t:
            sums, count = torch.zeros(3, dtype=torch.float64), 0
            for x0, eps in noise_pairs(process, heldout, time, tile, draws):
                times = torch.full((len(x0),), time, device=x0.device)
                x = process.noise(x0, eps, times)
                labels = None if told is None else told.heldout[torch.arange(count, count + len(x)) % len(heldout)]
                guidance = 0.0 if told is None else told.guidance
                epsilon = guided(model, x, times, None if labels is None else labels.to(x.device), guidance)
                learned = process.score(epsilon.float(), times).cpu().double()
                x, times = x.cpu().double(), times.cpu()
                population, memorized = (guided(score, x, times, labels, guidance) for score in exact)
                errors = (learned - population, learned - memorized, population - memorized)
                sums += torch.stack([torch.linalg.vector_norm(error, dim=1).sum() for error in errors])
                count += len(x)
            pop, emp, gap = (sums / count).tolist()
            columns |= {f"score_pop_t{time}": pop, f"score_emp_t{time}": emp, f"score_gap_t{time}": gap}
            columns |= {f"R_t{time}": pop / gap, f"R2_t{time}": (emp - pop) / gap}
    return columns


def _population(process: Process, mu: float, sigma: float) -> Denoiser:
    """The score of the mixture, or of those of its components that it is called with."""
    alpha_bar = process.alpha_bar.cpu().double()

    def score(x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        return process.unscaled(mixture.score(process.unscaled(x, t), alpha_bar[t], mu, sigma, labels), t)

    return score


def _empirical(process: Process, train: Tensor, told: Told | None) -> Denoiser:
    """The score of all training points, or of those of the components that it is called with."""
    everyone = EmpiricalDenoiser(train, process)
    parts = {} if told is None else {c: EmpiricalDenoiser(train[told.train == c], process) for c in (0, 1)}

    def score(x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is None:
            return everyone.score(x, t)
        found = torch.empty_like(x)
        for component, denoiser in parts.items():
            chosen = labels == component
            found[chosen] = denoiser.score(x[chosen], t[chosen])
        return found

    return score


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
            # the factor between score and epsilon cancels
            known = exact(x, times).flatten(1).cpu().double()
            apart += float((denoiser(x, times).flatten(1).cpu().double() - known).norm(dim=1).sum())
            size += float(known.norm(dim=1).sum())
    return apart / size
