"""The density of a diffusion model against Gaussians in closed form, exact scores, and a network's change of volume."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from diffmem.data import mixture
from diffmem.diffusion.process import Process
from diffmem.metrics.likelihood import FIRST, TOLERANCE, divergence, log_density, mixture_divergence

T, LOWEST, SLOPE = 1000, -4.0, 9.0 / 999  # log(sigma / sqrt(alpha_bar)) is linear in t: known between whole t
LABELS = torch.arange(64) % 2


def alpha_bar(t: Tensor) -> Tensor:
    return torch.sigmoid(-2 * (LOWEST + SLOPE * t.double()))


PROCESS = Process(alpha_bar(torch.arange(T)))
AT_FIRST = float(alpha_bar(torch.tensor(FIRST)))


def points(count: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(count, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def normal_log_density(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return -((x - mean) ** 2 / variance + torch.log(2 * math.pi * variance)).sum(dim=1) / 2


class Gaussian:
    """epsilon of data from N(mean, diag(variance))."""

    def __init__(self, mean: Tensor, variance: Tensor) -> None:
        self.mean, self.variance = mean, variance

    def at(self, t: Tensor) -> tuple[Tensor, Tensor]:
        share = alpha_bar(t)[:, None]
        return share.sqrt() * self.mean, share * self.variance + 1 - share

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        mean, variance = self.at(t)
        return (1 - alpha_bar(t))[:, None].sqrt() * (x - mean) / variance


@pytest.mark.parametrize("d", [1, 3, 8])
def test_the_density_of_a_gaussian_is_its_own(d: int) -> None:
    """Exact but for the start from N(0, I) instead of the law at T - 1, which is within 1e-4 of it."""
    model = Gaussian(torch.linspace(-0.5, 1, d, dtype=torch.float64), torch.linspace(0.3, 2, d, dtype=torch.float64))
    mean, variance = model.at(torch.tensor([FIRST]))
    x = mean + variance.sqrt() * points(16, d)
    truth = normal_log_density(x, mean, variance)
    assert log_density(model, PROCESS, x, 1e-7) == pytest.approx(truth, abs=0.05)
    shifted = log_density(model, PROCESS, x, 1e-7) - truth
    _, last = model.at(torch.tensor([T - 1]))
    end = math.sqrt(float(alpha_bar(torch.tensor(T - 1)))) * model.mean
    z = (x - mean) / variance.sqrt() * last.sqrt() + end  # where the flow takes x
    prior = normal_log_density(z, torch.zeros(d), torch.ones(d)) - normal_log_density(z, end, last)
    assert shifted == pytest.approx(prior, abs=1e-5)


def test_the_same_gaussian_has_no_divergence_and_a_shifted_one_half_its_square() -> None:
    x = points(4000, 2)
    still, moved = (Gaussian(torch.full((2,), by, dtype=torch.float64), torch.ones(2)) for by in (0.0, 0.5))
    log_p = normal_log_density(x, torch.zeros(2), torch.ones(2))
    assert divergence(still, PROCESS, x, log_p) == pytest.approx({"kl": 0, "kl_se": 0, "kl_error": 0}, abs=1e-6)
    found = divergence(moved, PROCESS, x, log_p)
    assert abs(found["kl"] - AT_FIRST * 0.5**2) < 4 * found["kl_se"]  # |shift|^2 / 2 in two dimensions
    assert found["kl_se"] == pytest.approx(0.5 * math.sqrt(2 * AT_FIRST / 4000), rel=0.1)


@pytest.mark.parametrize("labels", [None, LABELS])
def test_the_exact_score_of_the_mixture_has_no_divergence(labels: Tensor | None) -> None:
    mu, sigma = 1.5, 0.7

    def exact(x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        share = alpha_bar(t)
        return -(1 - share).sqrt()[:, None] * mixture.score(x, share, mu, sigma, labels)

    data = torch.from_numpy(mixture.draw(64, 4, mu, sigma)).double()
    found = mixture_divergence(exact, PROCESS, data, mu=mu, sigma=sigma, labels=labels)
    assert abs(found["kl"]) < 0.02
    assert abs(found["kl"]) <= found["kl_error"] + 4 * found["kl_se"]


def test_the_error_falls_with_the_tolerance_and_is_bounded_by_what_is_reported() -> None:
    model = Gaussian(torch.tensor([0.7]), torch.tensor([0.05], dtype=torch.float64))
    mean, variance = model.at(torch.tensor([FIRST]))
    x = mean + variance.sqrt() * points(64, 1)
    best = log_density(model, PROCESS, x, 1e-9)
    errors = [float((log_density(model, PROCESS, x, tolerance) - best).mean().abs()) for tolerance in (1e-3, TOLERANCE)]
    assert errors[1] < errors[0]
    reported = divergence(model, PROCESS, x, normal_log_density(x, mean, variance))["kl_error"]
    assert errors[1] < reported
    by_tolerance = [log_density(model, PROCESS, x, tolerance) for tolerance in (TOLERANCE, 10 * TOLERANCE)]
    assert reported == pytest.approx(abs(float((by_tolerance[0] - by_tolerance[1]).mean())))


def test_a_network_loses_the_volume_that_its_flow_does() -> None:
    """Against a discrete flow of many small steps, whose volume is the product of its determinants."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 8), nn.GELU(), nn.Linear(8, 2)).double()

    def epsilon(x: Tensor, t: Tensor) -> Tensor:
        return x + 0.3 * network(x)

    x = points(6, 2)
    places = torch.linspace(LOWEST + SLOPE * FIRST, LOWEST + SLOPE * (T - 1), 251, dtype=torch.float64)
    end, volume = x.clone(), torch.zeros(6, dtype=torch.float64)
    with torch.no_grad():
        for low, high in pairwise(places):
            sigma = torch.sigmoid(low + high).sqrt()  # at the middle of the step

            def step(point: Tensor, sigma: Tensor = sigma, size: Tensor = high - low) -> Tensor:
                half = point + size / 2 * sigma * (epsilon(point, size) - sigma * point)
                return point + size * sigma * (epsilon(half, size) - sigma * half)

            volume += vmap(jacrev(step))(end).det().log()
            end = step(end)
    truth = normal_log_density(end, torch.zeros(2), torch.ones(2)) + volume
    assert log_density(epsilon, PROCESS, x, 1e-7) == pytest.approx(truth, abs=2e-3)
