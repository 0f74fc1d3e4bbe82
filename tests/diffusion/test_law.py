"""What is drawn is what the law says."""

import math
from dataclasses import replace

import pytest
import torch

from diffmem.config.diffusion import DiffusionConfig
from diffmem.diffusion.law import Law
from diffmem.diffusion.process import Process
from diffmem.diffusion.target import Target
from tests.helpers.paths import EDM, FLOW, LINEAR

DRAWS = 40_000


def law(path: DiffusionConfig) -> Law:
    process = Process.from_config(path)
    return Law.of(path, process, Target.of(path, process))


def drawn(path: DiffusionConfig) -> torch.Tensor:
    t = torch.empty(DRAWS, dtype=torch.int64)
    law(path).draw(t, torch.Generator().manual_seed(3))
    return t


@pytest.mark.parametrize("path", [LINEAR, FLOW], ids=["linear", "flow"])
def test_times_are_uniform_but_the_first(path: DiffusionConfig) -> None:
    t = drawn(path)
    uniform = torch.empty_like(t).random_(1, 1000, generator=torch.Generator().manual_seed(3))
    assert torch.equal(t, uniform)
    assert (int(t.min()), int(t.max())) == (1, 999)


def test_the_noise_of_edm_is_log_normal() -> None:
    _, sigma = Process.from_config(EDM).exact()
    log = sigma.log()[drawn(EDM)]
    # four standard errors, and nothing of note from a thousand levels
    assert abs(float(log.mean()) + 1.2) < 4 * 1.2 / math.sqrt(DRAWS) + 1e-3
    assert abs(float(log.std()) - 1.2) < 4 * 1.2 / math.sqrt(2 * DRAWS) + 2e-3
    standard = ((log + 1.2) / 1.2).sort().values
    apart = torch.special.ndtr(standard) - torch.linspace(0, 1, DRAWS, dtype=torch.float64)
    assert float(apart.abs().max()) < 1.95 / math.sqrt(DRAWS) + 5e-3  # Kolmogorov and Smirnov, p = 0.001


@pytest.mark.parametrize("path", [LINEAR, FLOW, EDM], ids=["linear", "flow", "edm"])
def test_chances_are_those_of_the_draws(path: DiffusionConfig) -> None:
    chances = law(path).chances()
    assert float(chances.sum()) == pytest.approx(1)
    seen = torch.bincount(drawn(path), minlength=1000).view(20, 50).sum(1)
    expected = DRAWS * chances.view(20, 50).sum(1)
    assert ((seen - expected).abs() <= 4.5 * expected.sqrt() + 1e-9).all()


def test_levels_beyond_the_range_count_at_its_ends() -> None:
    """All of the log-normal law above sigma_max: the last level is always drawn."""
    above = replace(EDM, P_mean=15.0, P_std=0.5)
    assert (drawn(above) == 999).all()
