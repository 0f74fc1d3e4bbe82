"""Score errors at their bookends: the population's own score, the training set's, and a mixture of the two."""

import pytest
import torch
from torch import Tensor

from diffmem.config.diffusion import LinearDiffusion
from diffmem.data import mixture
from diffmem.diffusion.empirical import EmpiricalDenoiser
from diffmem.diffusion.process import Process
from diffmem.metrics.score import Told, empirical_score_distance, score_errors

PROCESS = Process.from_config(LinearDiffusion(T=1000, beta_first=1e-4, beta_last=2e-2))
MU, SIGMA, SCALE, T = 1.5, 0.5, 2.0, (20, 200, 700)
POINTS = SCALE * torch.from_numpy(mixture.draw(600, 4, MU, SIGMA))
TRAIN, HELDOUT = POINTS[:64], POINTS[100:]
EMPIRICAL = EmpiricalDenoiser(TRAIN, PROCESS)


def population(x: Tensor, t: Tensor) -> Tensor:
    alpha_bar = PROCESS.alpha_bar[t]
    score = mixture.score(x.double(), alpha_bar.double(), SCALE * MU, SCALE * SIGMA)
    return -(score * (1 - alpha_bar.double()).sqrt()[:, None]).float()


def columns(share: float) -> dict[str, float]:
    """Errors of a model that is `share` training set and the rest population."""

    def model(x: Tensor, t: Tensor) -> Tensor:
        return share * EMPIRICAL(x, t) + (1 - share) * population(x, t)

    return score_errors(model, PROCESS, TRAIN, HELDOUT, mu=MU, sigma=SIGMA, scale=SCALE, t=T, tile=300)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_bookends(share: float) -> None:
    row = columns(share)
    for t in T:
        assert row[f"R_t{t}"] == pytest.approx(share, abs=1e-4)
        assert row[f"R2_t{t}"] == pytest.approx(1 - 2 * share, abs=1e-4)
        assert row[f"score_pop_t{t}"] == pytest.approx(share * row[f"score_gap_t{t}"], abs=1e-3)
        assert row[f"score_emp_t{t}"] == pytest.approx((1 - share) * row[f"score_gap_t{t}"], abs=1e-3)
    assert set(row) == {f"{name}_t{t}" for name in ("score_pop", "score_emp", "score_gap", "R", "R2") for t in T}


def test_the_training_score_is_far_off_at_small_t_only() -> None:
    row = columns(0.0)
    gaps = [row[f"score_gap_t{t}"] for t in T]
    assert gaps == sorted(gaps, reverse=True)


def test_error_of_a_model_that_answers_zero_is_the_norm_of_the_score() -> None:
    """At the last t the points are unit noise, whose score is -x."""
    row = score_errors(
        lambda x, t: torch.zeros_like(x), PROCESS, TRAIN, HELDOUT, mu=MU, sigma=SIGMA, scale=SCALE, t=(999,)
    )
    assert row["score_pop_t999"] == pytest.approx(1.88, abs=0.1)  # E|z| = 1.880 for z normal in 4 dimensions


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_distance_from_the_training_set_is_the_share_that_is_missing_of_its_score(share: float) -> None:
    def model(x: Tensor, t: Tensor) -> Tensor:
        return share * EMPIRICAL(x, t)

    found = empirical_score_distance(model, PROCESS, TRAIN, HELDOUT, 200, tile=300)
    assert found == pytest.approx(1 - share, abs=1e-6)


@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_bookends_of_a_network_that_is_told_the_component(share: float, guidance: float) -> None:
    """The exact scores by hand: of a component a Gaussian's and its own training points', guided as the network is."""
    components = torch.arange(len(POINTS)) % 2
    parts = [EmpiricalDenoiser(TRAIN[components[: len(TRAIN)] == c], PROCESS) for c in (0, 1)]

    def model(x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is None:
            return share * EMPIRICAL(x, t) + (1 - share) * population(x, t)
        alpha_bar = PROCESS.alpha_bar[t].double()[:, None]
        mean = (1 - 2.0 * labels[:, None]) * alpha_bar.sqrt() * SCALE * MU
        gaussian = (x - mean) / (alpha_bar * (SCALE * SIGMA) ** 2 + 1 - alpha_bar) * (1 - alpha_bar).sqrt()
        memorized = torch.where(labels[:, None] == 0, parts[0](x, t), parts[1](x, t))
        return (share * memorized + (1 - share) * gaussian).float()

    told = Told(components[: len(TRAIN)], components[100:], guidance)
    row = score_errors(model, PROCESS, TRAIN, HELDOUT, mu=MU, sigma=SIGMA, scale=SCALE, t=(200,), tile=300, told=told)
    assert row["R_t200"] == pytest.approx(share, abs=1e-4)
    assert row["R2_t200"] == pytest.approx(1 - 2 * share, abs=1e-4)
