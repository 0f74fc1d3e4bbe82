"""The constants of an activation: check values, closed forms, the identities, and activations that have none."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad

from diffmem.errors import InputError
from diffmem.theory.constants import ACTIVATIONS, constants

TIMES = [1e-3, 1e-2, 0.1, 1.0, 3.0]


def test_check_values() -> None:
    c = constants(0.1, activation="tanh")
    assert (c.mu1, c.norm2, c.b, c.v2, c.s02) == pytest.approx(
        (0.605705509602, 0.394294490398, 0.257883519899, 0.013841453738, 0.013573872297), abs=5e-13
    )
    assert c.gamma2 == 1.0
    assert c.delta_t == pytest.approx(1 - math.exp(-0.2), rel=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("sigma_x2", [0.05, 1.0, 4.0])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_identities(activation: str, sigma_x2: float, t: float) -> None:
    c = constants(t, activation=activation, sigma_x2=sigma_x2)
    assert math.exp(-2 * t) * sigma_x2 * c.a**2 + c.b**2 == pytest.approx(c.mu1**2, rel=1e-12)
    assert c.v2 + c.s02 == pytest.approx(c.norm2 - c.mu1**2, rel=1e-10, abs=1e-14)
    assert min(c.v2, c.s02) > 0
    assert c.error < 1e-12


def overlap(activation: str, gamma2: float, rho: float) -> float:
    """E[σ(h1) σ(h2)] of centred σ, in closed form: h1, h2 Gaussian of variance gamma2 and correlation rho."""
    if activation == "erf":  # Williams 1997
        return 2 / math.pi * math.asin(2 * gamma2 * rho / (1 + 2 * gamma2))
    if activation == "sin":
        return math.exp(-gamma2) * math.sinh(gamma2 * rho)
    assert activation == "relu"  # Cho and Saul 2009
    return gamma2 / (2 * math.pi) * (math.sqrt(1 - rho**2) + rho * (math.pi - math.acos(rho)) - 1)


@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("activation", ["erf", "sin", "relu"])
def test_closed_forms(activation: str, t: float) -> None:
    c = constants(t, activation=activation, sigma_x2=0.7)
    rho = math.exp(-2 * t) * 0.7 / c.gamma2
    mu1 = {
        "erf": 2 / math.sqrt(math.pi) * math.sqrt(c.gamma2 / (1 + 2 * c.gamma2)),
        "sin": math.sqrt(c.gamma2) * math.exp(-c.gamma2 / 2),
        "relu": math.sqrt(c.gamma2) / 2,
    }[activation]
    assert c.mu1 == pytest.approx(mu1, rel=1e-12)
    assert c.norm2 == pytest.approx(overlap(activation, c.gamma2, 1.0), rel=1e-12)
    assert c.v2 == pytest.approx(overlap(activation, c.gamma2, rho) - mu1**2 * rho, abs=1e-14)
    assert c.mean == pytest.approx(math.sqrt(c.gamma2 / (2 * math.pi)) if activation == "relu" else 0.0, abs=1e-14)


def test_a_callable_is_the_same_as_its_name() -> None:
    named, given = constants(0.02, activation="relu"), constants(0.02, activation=lambda h: (h + np.abs(h)) / 2)
    assert (given.v2, given.s02) == pytest.approx((named.v2, named.s02), rel=1e-12)


def test_the_error_covers_a_kink_away_from_zero() -> None:
    def clipped(h: np.ndarray) -> np.ndarray:
        return np.asarray(np.clip(h, -0.7, 0.7))

    c = constants(0.01, activation=clipped)
    mu1 = 2 * quad(lambda z: min(z, 0.7) * z * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi), 0, 12, points=[0.7])[0]
    assert 1e-12 < abs(c.mu1 - mu1) <= 3 * c.error < 1e-3


@pytest.mark.parametrize(
    ("activation", "words"),
    [
        (np.cos, "no linear part"),
        (lambda h: 0.3 * h, "nothing but a linear part"),
        (lambda h: np.exp(h**2 / 3), "diverge"),
        (lambda h: np.where(h > 0, np.nan, h), "diverge"),
        (lambda h: np.sign(h - 1), "diverge or do not converge"),
        ("gelu", "none of tanh, erf, sin, relu"),
    ],
)
def test_activations_without_constants(activation: str | Callable[[np.ndarray], np.ndarray], words: str) -> None:
    with pytest.raises(InputError, match=words):
        constants(0.1, activation=activation)


@pytest.mark.parametrize(("t", "sigma_x2"), [(0.0, 1.0), (-1.0, 1.0), (math.nan, 1.0), (math.inf, 1.0), (0.1, 0.0)])
def test_bad_numbers(t: float, sigma_x2: float) -> None:
    with pytest.raises(InputError):
        constants(t, sigma_x2=sigma_x2)
