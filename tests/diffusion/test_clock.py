"""The gap against what is known of two images and of Gaussian data; the rate's exact dependence on the law."""

import math

import pytest
import torch
from torch import Tensor

from diffmem.config.diffusion import DiffusionConfig, LinearDiffusion
from diffmem.diffusion import clock
from diffmem.diffusion.empirical import EmpiricalDenoiser
from diffmem.diffusion.law import Law
from diffmem.diffusion.process import Process
from diffmem.diffusion.target import Target
from tests.helpers.paths import EDM, FLOW, LINEAR

IMAGES = torch.randn(12, 6, generator=torch.Generator().manual_seed(4))


def law(path: DiffusionConfig, gamma: float | None = None) -> tuple[Process, Law]:
    process = Process.from_config(path)
    return process, Law.of(path, process, Target.of(path, process), gamma)


@pytest.fixture
def many_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "DRAWS", 60_000)


@pytest.mark.usefixtures("many_draws")
def test_the_gap_of_two_points_is_known() -> None:
    """x_0 = +-1: the best linear denoiser errs by s^2 / (1 + s^2), the best one by E[sech^2 ((1 + s z) / s^2)]."""
    levels = torch.tensor([0.3, 1.0, 3.0], dtype=torch.float64)
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    known = []
    for s in levels.tolist():
        wrong = (1 - torch.tanh((1 + s * z) / s**2)).square()
        known.append(s**2 / (1 + s**2) - float(torch.trapezoid(density * wrong, z)))
    found = clock.gap(torch.tensor([[1.0], [-1.0]]), levels)
    # 60,000 draws of an error of at most 4
    torch.testing.assert_close(found, torch.tensor(known, dtype=torch.float64), rtol=0, atol=0.02)


@pytest.mark.usefixtures("many_draws")
@pytest.mark.parametrize("t", [350, 400, 450])
def test_the_gap_is_that_of_the_empirical_denoiser(t: int) -> None:
    process = Process.from_config(EDM)
    _, sigma = process.exact()
    level = float(sigma[t])
    eps = torch.randn(6000, 6, generator=torch.Generator().manual_seed(5)).double()
    x0 = IMAGES.double().repeat(500, 1)
    x, times = x0 + level * eps, torch.full((6000,), t)
    error = (process.x0(x, EmpiricalDenoiser(IMAGES, process)(x, times), times) - x0).square().sum(1).mean()
    values = torch.linalg.eigvalsh(torch.cov(IMAGES.double().T, correction=0))
    linear = (values * level**2 / (values + level**2)).sum()
    found = float(clock.gap(IMAGES, sigma[t : t + 1]))
    assert found == pytest.approx(float(linear - error), abs=0.08)
    assert found > 0.3


def test_a_linear_denoiser_can_know_no_more() -> None:
    """Never below 0, and nothing at either end."""
    found = clock.gap(IMAGES, clock.LEVELS)
    assert (found >= 0).all()
    assert max(float(found[0]), float(found[-1])) < 1e-2 * float(found.max())


@pytest.mark.parametrize("path", [LINEAR, FLOW, EDM], ids=["linear", "flow", "edm"])
def test_the_rate_is_that_of_the_weight(path: DiffusionConfig) -> None:
    process, uniform = law(path)
    rate = clock.rate(IMAGES, process, uniform)
    assert 0.02 < rate < 1
    doubled = Law(process.T, uniform.cumulative, torch.full((process.T,), 2.0))
    assert clock.rate(IMAGES, process, doubled) == pytest.approx(2 * rate)


def test_what_is_predicted_does_not_count_and_its_weight_does() -> None:
    paths = [LinearDiffusion(T=1000, beta_first=1e-4, beta_last=2e-2, predict=name) for name in ("epsilon", "x0", "v")]
    uniform = [clock.rate(IMAGES, *law(path)) for path in paths]
    assert uniform[0] == uniform[1] == uniform[2]
    weighted = [clock.rate(IMAGES, *law(path, 5.0)) for path in paths]
    # min(1, gamma / SNR) and min(SNR, gamma) are both more than min(SNR, gamma) / (SNR + 1), which is v's
    assert min(weighted[:2]) > weighted[2]


def test_time_does_not_depend_on_how_finely_it_is_cut() -> None:
    """One path in half as many times, each twice as likely."""
    rates = [clock.rate(IMAGES, *law(FLOW.__class__(T=T))) for T in (500, 1000, 4000)]
    assert rates[0] == pytest.approx(rates[1], rel=1e-2)
    assert rates[2] == pytest.approx(rates[1], rel=1e-2)


def test_the_density_of_draws_is_the_rate_where_all_is_at_one_level() -> None:
    """EDM's P / D is a normal density in log sigma: the rate is its mean under the gap's shares."""
    process, drawn = law(EDM)
    log = clock.LEVELS.log()
    share = clock.gap(IMAGES, clock.LEVELS)
    density = torch.exp(-((log + 1.2) ** 2) / (2 * 1.2**2)) / (1.2 * math.sqrt(2 * math.pi))
    expected = float((share * density).sum() / share.sum())
    assert clock.rate(IMAGES, process, drawn) == pytest.approx(expected, rel=0.03)


def test_interpolation() -> None:
    known, values = torch.tensor([0.0, 1.0, 3.0]), torch.tensor([0.0, 2.0, 0.0])
    x: Tensor = torch.tensor([-1.0, 0.5, 1.0, 2.0, 9.0])
    assert clock.interpolated(x, known, values).tolist() == [0.0, 1.0, 2.0, 1.0, 0.0]
