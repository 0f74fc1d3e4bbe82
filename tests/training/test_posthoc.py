"""Averages rebuilt by least squares: against integrals by brute force, averages tracked online, and another solver."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import null_space

from diffmem.training.average import POSTHOC, exponent
from diffmem.training.posthoc import inner, mean_step, solve

GRID = (50, 61, 75, 91, 111, 135, 165, 200, 243, 296, 361)
WIDTHS = [0.02, 0.07, 0.15, 0.25]


def tracked(weights: np.ndarray, sigma: float, steps: Sequence[int]) -> np.ndarray:
    """The average of `weights` [steps + 1, ...] after each of `steps`, by the recursion of training."""
    found, average = [], weights[0].copy()
    for step in range(1, steps[-1] + 1):
        beta = (1 - 1 / step) ** (exponent(sigma) + 1)
        average = beta * average + (1 - beta) * weights[step]
        if step in steps:
            found.append(average.copy())
    return np.stack(found)


def rebuilt(weights: np.ndarray, sigma: float, steps: tuple[int, ...] = GRID) -> np.ndarray:
    """The average after the last of `steps`, from those of POSTHOC after each of them."""
    stored = np.stack([tracked(weights, width, steps) for width in POSTHOC], axis=1)  # [K, 2, ...]
    return np.tensordot(solve(steps, sigma).parts, stored, axes=2)


@pytest.mark.parametrize(
    ("end", "gamma", "other_end", "other_gamma"), [(7, 16.97, 5, 6.94), (5, 0, 9, 3), (4, 2, 4, 6)]
)
def test_inner_products_are_integrals(end: float, gamma: float, other_end: float, other_gamma: float) -> None:
    def product(s: float) -> float:
        return (
            (gamma + 1)
            * s**gamma
            / end ** (gamma + 1)
            * (other_gamma + 1)
            * s**other_gamma
            / other_end ** (other_gamma + 1)
        )

    assert inner(end, gamma, other_end, other_gamma) == pytest.approx(
        quad(product, 0, min(end, other_end))[0], rel=1e-9
    )


@pytest.mark.parametrize("last", [1, 2, 50])
def test_the_mean_step_is_that_of_the_recursion(last: int) -> None:
    steps = np.arange(last + 1.0)
    assert mean_step(last, exponent(0.1)) == pytest.approx(tracked(steps, 0.1, [last])[0], rel=1e-12)


@pytest.mark.parametrize("sigma", WIDTHS)
def test_the_least_squares_are_those_of_sampled_profiles(sigma: float) -> None:
    """Profiles on a fine grid of (0, tau], the two conditions by a basis of what leaves them alone."""
    steps, cells = (20, 30, 45, 60), 60_000
    s = (np.arange(cells) + 0.5) / cells * steps[-1]

    def profile(end: int, width: float) -> np.ndarray:
        gamma = exponent(width)
        return np.where(s <= end, (gamma + 1) * s**gamma / float(end) ** (gamma + 1), 0.0)

    stored = np.stack([profile(step, width) for step in steps for width in POSTHOC])
    target = profile(steps[-1], sigma)
    kept = np.stack([np.ones(len(stored)), [mean_step(step, exponent(w)) for step in steps for w in POSTHOC]])
    some = np.linalg.lstsq(kept, [1.0, mean_step(steps[-1], exponent(sigma))], rcond=None)[0]
    free = null_space(kept)
    moved = np.linalg.lstsq((free.T @ stored).T, target - some @ stored, rcond=None)[0]
    expected = some + free @ moved
    fit = solve(steps, sigma)
    np.testing.assert_allclose(fit.parts.ravel(), expected, rtol=1e-3, atol=1e-4)
    rest = np.linalg.norm(expected @ stored - target) / np.linalg.norm(target)
    assert fit.residual == pytest.approx(rest, rel=1e-3)


@pytest.mark.parametrize("place", [0, 1])
def test_a_stored_width_is_itself(place: int) -> None:
    fit = solve(GRID, POSTHOC[place])
    expected = np.zeros((len(GRID), 2))
    expected[-1, place] = 1
    np.testing.assert_allclose(fit.parts, expected, atol=1e-9)
    assert fit.residual < 1e-6


@pytest.mark.parametrize("sigma", WIDTHS)
def test_a_linear_trajectory_is_rebuilt_exactly(sigma: float) -> None:
    weights = 3.0 - 0.25 * np.arange(GRID[-1] + 1.0)
    assert rebuilt(weights, sigma) == pytest.approx(tracked(weights, sigma, GRID)[-1], rel=1e-10)


@pytest.mark.parametrize("sigma", WIDTHS)
def test_the_error_on_jumping_weights_is_the_residual(sigma: float) -> None:
    """Of 4,096 weights that jump independently from step to step; within four standard errors, and the part of a jump
    that a profile is not constant on."""
    weights = np.random.default_rng(0).standard_normal((GRID[-1] + 1, 4096))
    online = tracked(weights, sigma, GRID)[-1]
    error = np.sqrt(((rebuilt(weights, sigma) - online) ** 2).mean()) / np.sqrt((online**2).mean())
    assert error == pytest.approx(solve(GRID, sigma).residual, rel=4 * 4096**-0.5)


def test_more_checkpoints_tell_more() -> None:
    assert solve(GRID, 0.02).residual > 1.3 * solve(tuple(range(50, 362, 4)), 0.02).residual
