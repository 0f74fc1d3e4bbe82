"""Averaged weights: the recursion is the closed-form sum, and its width is the one asked for."""

import numpy as np
import pytest
import torch
from torch import nn

from diffmem.config.settings import TrainConfig
from diffmem.training import average
from tests.helpers.tiny import tiny


def power(sigma: float) -> TrainConfig:
    return tiny(train={"ema": "power", "ema_sigma": sigma}).train


def weights_of_steps(config: TrainConfig, last: int) -> np.ndarray:
    """What steps 0 (the initial weights) to `last` weigh in the average after `last`, by the recursion: [last + 1]."""
    weights = np.eye(1, last + 1)[0]
    for step in range(1, last + 1):
        (beta,) = average.decays(config, step)
        weights *= beta
        weights[step] += 1 - beta
    return weights


@pytest.mark.parametrize(("sigma", "gamma"), [(0.05, 16.97), (0.10, 6.94)])
def test_the_exponents_of_karras_et_al(sigma: float, gamma: float) -> None:
    assert average.exponent(sigma) == pytest.approx(gamma, abs=0.005)


@pytest.mark.parametrize("sigma", [1e-3, 0.02, 0.05, 0.1, 0.2, 0.28, 0.2886, 12**-0.5])
def test_the_exponent_has_the_width_asked_for(sigma: float) -> None:
    gamma = average.exponent(sigma)
    assert gamma > -1e-12
    assert (gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3)) == pytest.approx(sigma**2, rel=1e-9)


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.28])
def test_the_weights_of_the_steps_are_a_power_function_of_the_width_asked_for(sigma: float) -> None:
    last, gamma = 4000, average.exponent(sigma)
    weights, step = weights_of_steps(power(sigma), last), np.arange(last + 1)
    closed = np.diff((step / last) ** (gamma + 1), prepend=0)
    np.testing.assert_allclose(weights, closed, rtol=1e-9, atol=1e-15)
    assert weights[0] == 0
    mean = (weights * step).sum()
    assert np.sqrt((weights * (step - mean) ** 2).sum()) / last == pytest.approx(sigma, rel=1e-3)
    assert mean / last == pytest.approx((gamma + 1) / (gamma + 2), rel=1e-3)


@pytest.mark.parametrize(
    "config", [power(0.1), power(0.28), tiny(train={"ema": 0.9}).train], ids=["0.1", "0.28", "decay"]
)
def test_a_linear_trajectory_has_the_average_of_its_closed_form(config: TrainConfig) -> None:
    """Weights begin + slope tau: the average lags by sum_{k < tau} (k / tau)^(gamma + 1), or by a geometric sum."""
    model, last = nn.Linear(2, 1, bias=False, dtype=torch.float64), 300
    begin, slope = model.weight.detach().clone(), torch.tensor([[0.5, -0.02]], dtype=torch.float64)
    found = begin.clone()
    for step in range(1, last + 1):
        with torch.no_grad():
            model.weight.copy_(begin + slope * step)
        share = torch.tensor(1 - average.decays(config, step)[0], dtype=torch.float64)
        average.update([found], [model.weight], share)
        if step == 1 and config.ema == "power":
            assert torch.equal(found, model.weight.detach())  # nothing is left of where it began
    if config.ema_sigma is None:
        lag = 0.9 * (1 - 0.9**last) / 0.1
    else:
        lag = float(((np.arange(1, last) / last) ** (average.exponent(config.ema_sigma) + 1)).sum())
    torch.testing.assert_close(found, begin + slope * (last - lag), rtol=1e-11, atol=1e-11)
