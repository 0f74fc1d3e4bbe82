"""Learning curves: against plain gradient descent at finite size, simulation and other formulas in the limit."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from diffmem.errors import InputError
from diffmem.theory.constants import constants
from diffmem.theory.covariance import power_law
from diffmem.theory.dynamics import Curves, finite_curves, limit_curves
from diffmem.theory.model import Model
from diffmem.theory.resolvents import two_resolvents
from diffmem.theory.simulate import Draw, draw
from diffmem.theory.solver import follow
from diffmem.theory.timescales import time_grid
from tests.helpers.theory_oracles import gradient_descent, isotropic_two_resolvents

TAU = [1, 10, 30, 100, 300, 1000, 3000]
TWO_LEVEL = ([0.5, 1.5], [0.5, 0.5])
TABLES: list[tuple[Any, list[float], list[float]]] = [
    (
        None,
        [0.95820, 0.81930, 0.77068, 0.73735, 0.68046, 0.60091, 0.57216],
        [0.95829, 0.84128, 0.86052, 0.91611, 0.98232, 1.20896, 1.49120],
    ),
    (
        TWO_LEVEL,
        [0.95812, 0.80787, 0.74168, 0.70167, 0.64368, 0.56626, 0.53983],
        [0.95821, 0.82688, 0.82017, 0.87145, 0.93303, 1.13728, 1.38668],
    ),
]
SIMULATED = [
    Model(psi_p=4, psi_n=1.5, t=0.1),
    Model(psi_p=2, psi_n=6, t=0.03, activation="relu", cov=([0.3, 1.0, 3.0], [0.4, 0.4, 0.2])),
    Model(psi_p=2, psi_n=0.7, t=0.5, activation="sin", cov=([0.0, 1.0], [0.5, 0.5])),
    Model(psi_p=0.5, psi_n=2, t=0.2, activation="erf", cov=([0.25, 2.0], [0.5, 0.5])),
]


@pytest.mark.parametrize(("cov", "train", "test"), TABLES)
def test_check_values(cov: Any, train: list[float], test: list[float]) -> None:
    curves = limit_curves(Model(psi_p=8, psi_n=3, t=0.1, cov=cov), TAU)
    assert curves.train == pytest.approx(train, abs=6e-6)
    assert curves.test == pytest.approx(test, abs=6e-6)
    assert curves.error < 1e-6


def descent_problem() -> tuple[Draw, tuple[np.ndarray, ...]]:
    """Features of d = 50 points with a few noise draws each, training and test, and the matrices made of them."""
    d, p, n, t = 50, 75, 60, 0.3
    rng = np.random.default_rng(0)
    delta_t = -math.expm1(-2 * t)
    w = rng.standard_normal((p, d)) / math.sqrt(d)

    def features(x: np.ndarray, noises: int) -> tuple[np.ndarray, np.ndarray]:
        xi = rng.standard_normal((d, noises * x.shape[1]))
        return np.tanh(w @ (math.exp(-t) * np.tile(x, noises) + math.sqrt(delta_t) * xi)), xi

    train, test = features(rng.standard_normal((d, n)), 3), features(rng.standard_normal((d, 200)), 1)
    u, v = (train[0] @ other.T / train[1].shape[1] for other in train)
    u_test, v_test = (test[0] @ other.T / test[1].shape[1] for other in test)
    # loss at A = 0 is |xi|²/dN, which is 1 on average
    made = Draw(u=u, v=v, u_test=u_test, v_test=v_test, psi_p=p / d, psi_n=n / d, delta_t=delta_t, best=0.0)
    return made, (*train, *test)


def test_gradient_descent_goes_the_same_way() -> None:
    made, (z, xi, z_test, xi_test) = descent_problem()
    end, coarse = 2.0, 100
    tau = np.linspace(0, end, 11)
    exact = finite_curves(made, tau)
    offset = np.array([[(xi**2).mean() - 1], [(xi_test**2).mean() - 1]])
    expected = np.stack([exact.train, exact.test]) + offset
    estimates = []
    for steps in (coarse, 2 * coarse, 4 * coarse, 8 * coarse):
        losses = gradient_descent(z, xi, z_test, xi_test, made.delta_t, end / steps, steps)
        estimates.append(losses[:, :: steps // 10])
    errors = [np.abs(losses - expected).max() for losses in estimates]
    assert errors[-2] / errors[-1] == pytest.approx(2, rel=0.05)  # Euler's method: first order in the learning rate
    for order in (1, 2, 3):  # the learning rate -> 0 by Richardson's extrapolation
        estimates = [(2**order * fine - rough) / (2**order - 1) for rough, fine in itertools.pairwise(estimates)]
    assert np.abs(estimates[0] - expected).max() < 1e-6


@pytest.mark.parametrize("model", SIMULATED)
def test_simulation_agrees_within_its_error(model: Model) -> None:
    tau = [0.3, 3.0, 30.0, 300.0, 3000.0]
    limit = limit_curves(model, tau)
    means, errors, spread = {}, {}, {}
    for d in (60, 120):
        draws = [finite_curves(draw(model, d, seed=100 * d + k), tau) for k in range(10)]
        values = np.array([[c.train, c.test] for c in draws]) - np.array([limit.train, limit.test])
        means[d], errors[d] = values.mean(axis=0), values.std(axis=0, ddof=1) / math.sqrt(10)
        spread[d] = math.sqrt((values**2).mean())
    extrapolated = 2 * means[120] - means[60]  # without the term in 1/d
    assert (np.abs(extrapolated) < 4 * np.sqrt(4 * errors[120] ** 2 + errors[60] ** 2)).all()
    assert np.abs(means[120]).max() < 0.02


@pytest.mark.slow
def test_the_error_of_the_limit_is_of_order_one_over_d() -> None:
    model, dims = SIMULATED[0], np.array([25, 50, 100, 200])
    limit = limit_curves(model, [30.0, 300.0])
    away = []
    for d in dims:
        draws = [finite_curves(draw(model, int(d), seed=k), [30.0, 300.0]) for k in range(int(2000 / d))]
        away.append(math.sqrt(np.mean([(c.test - limit.test) ** 2 + (c.train - limit.train) ** 2 for c in draws])))
    assert np.polyfit(np.log(dims), np.log(away), 1)[0] == pytest.approx(-1, abs=0.2)


@pytest.mark.parametrize(("psi_p", "psi_n"), [(8.0, 3.0), (2.0, 0.5), (0.6, 4.0)])
def test_two_resolvents_are_the_integrals_over_marchenko_pastur(psi_p: float, psi_n: float) -> None:
    model = Model(psi_p=psi_p, psi_n=psi_n, t=0.1, activation="erf")
    z = np.array([0.05 + 0.05j, 0.4 + 0.2j, 3.0 + 2.0j])
    point = follow(model, z - model.constants.s02)
    d = 1 / point.y
    pairs = two_resolvents(model, point, point)
    for i in range(3):
        for j in range(3):
            assert pairs[i, j] == pytest.approx(isotropic_two_resolvents(model, z[i], z[j], d[i], d[j]), rel=1e-8)
    assert pairs == pytest.approx(pairs.T, rel=1e-12)


def test_equal_eigenvalues_may_be_split_in_any_way() -> None:
    split = (1 + 1e-12 * np.arange(1024), np.full(1024, 1 / 1024))
    one, many = (limit_curves(Model(psi_p=8, psi_n=3, t=0.1, cov=cov), TAU) for cov in (None, split))
    assert many.train == pytest.approx(one.train, abs=1e-7)
    assert many.test == pytest.approx(one.test, abs=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("psi_p", [0.1, 3.0, 1000.0])
@pytest.mark.parametrize("psi_n", [0.1, 2.0, 1000.0])
@pytest.mark.parametrize("t", [1e-3, 0.1, 3.0])
def test_curves_over_the_whole_range(psi_p: float, psi_n: float, t: float) -> None:
    model = Model(psi_p, psi_n, t)
    curves = limit_curves(model, np.concatenate([[0.0], time_grid(model, 40)]))
    assert curves.train[0] == curves.test[0] == 1
    assert (np.diff(curves.train) < 1e-7).all()  # gradient flow never climbs
    assert (curves.score_error > 0).all()  # nothing beats the true score
    assert (curves.gen > -1e-7).all()


def test_a_real_spectrum_stays_cheap() -> None:
    curves = limit_curves(Model(psi_p=4, psi_n=2, t=0.05, cov=power_law(1.2, 1024)), TAU)
    assert curves.error < 1e-6
    assert (curves.score_error > 0).all()


def test_score_error_is_the_distance_to_the_true_score() -> None:
    mu = np.array([0.5, 1.5] * 30)
    made = draw(Model(psi_p=3, psi_n=2, t=0.1, cov=TWO_LEVEL), 60, seed=3)
    curves = finite_curves(made, [20.0])
    c = constants(0.1)
    sigma_t = math.exp(-0.2) * np.sort(mu) + c.delta_t
    decay = np.exp(-2 * c.delta_t * np.linalg.eigvalsh(made.u) * 20 / 3)
    vectors = np.linalg.eigh(made.u)[1]
    inverse = vectors * ((decay - 1) / np.linalg.eigvalsh(made.u)) @ vectors.T
    a = made.v.T @ inverse / math.sqrt(c.delta_t)  # A/√p
    w = made.v / c.b  # W/√d
    # E|s_A + x/Σ_t|² with E[σ xᵀ] = a W Σ_t/√d
    direct = np.trace(a @ made.u_test @ a.T) + 2 * c.a * np.trace(a @ w) + (1 / sigma_t).sum()
    assert curves.score_error[0] == pytest.approx(direct / 60, rel=1e-8)


def test_sampled_features_are_averages_over_the_noise() -> None:
    d, p, n, t, noises = 12, 9, 5, 0.2, 200_000
    made = draw(Model(psi_p=p / d, psi_n=n / d, t=t, activation="relu"), d, features="sampled", seed=1)
    rng = np.random.default_rng(1)  # as `draw` begins
    w, x = rng.standard_normal((p, d)) / math.sqrt(d), rng.standard_normal((n, d))
    c = constants(t, activation="relu")
    u, v = np.zeros((p, p)), np.zeros((p, d))
    for point in x:
        xi = rng.standard_normal((d, noises))
        z = np.maximum(w @ (math.exp(-t) * point[:, None] + math.sqrt(c.delta_t) * xi), 0) - c.mean
        u, v = u + z @ z.T / (noises * n), v + z @ xi.T / (noises * n)
    fresh, xi = rng.standard_normal((d, noises)), rng.standard_normal((d, noises))
    z = np.maximum(w @ (math.exp(-t) * fresh + math.sqrt(c.delta_t) * xi), 0) - c.mean
    for exact, sampled in ((made.u, u), (made.v, v), (made.u_test, z @ z.T / noises), (made.v_test, z @ xi.T / noises)):
        assert exact == pytest.approx(sampled, abs=4 * 1.5 / math.sqrt(noises))  # the products have variance below 2


def test_population_of_sampled_features_where_few_directions_dominate() -> None:
    d, t = 60, 0.05
    sigma = power_law(2.5, d)
    made = draw(Model(psi_p=1, psi_n=0.2, t=t, activation="erf", cov=sigma), d, features="sampled", seed=4)
    w = np.random.default_rng(4).standard_normal((d, d)) / math.sqrt(d)  # as `draw` begins
    k = (w * (math.exp(-2 * t) * sigma.eigenvalues - math.expm1(-2 * t))) @ w.T
    length = np.sqrt(1 + 2 * np.diag(k))
    exact = 2 / math.pi * np.arcsin(2 * k / np.outer(length, length))  # Williams 1997
    assert made.u_test == pytest.approx(exact, abs=1e-4)


def test_sampled_features_have_the_curves_of_the_gaussian_equivalent() -> None:
    model = Model(psi_p=2, psi_n=1, t=0.1)
    limit = limit_curves(model, [3.0, 30.0, 300.0])
    away = []
    for d in (40, 160):
        draws = [finite_curves(draw(model, d, seed=k, features="sampled"), limit.tau) for k in range(6)]
        away.append(np.abs(np.mean([c.test for c in draws], axis=0) / limit.test - 1).max())
    assert away[1] < 0.5 * away[0]
    assert away[1] < 0.01


def test_bad_input() -> None:
    for tau in ([-1.0], [math.nan], [[1.0]]):
        with pytest.raises(InputError, match="tau must be"):
            limit_curves(Model(psi_p=8, psi_n=3, t=0.1), tau)
    with pytest.raises(InputError, match="features=noisy"):
        draw(Model(psi_p=2, psi_n=2, t=0.1), 10, features="noisy")
    with pytest.raises(InputError, match="n=0 points"):
        draw(Model(psi_p=2, psi_n=0.1, t=0.1), 2)


def test_gen_and_score_error_are_differences() -> None:
    curves = Curves(tau=np.ones(1), train=np.array([0.5]), test=np.array([0.7]), best=0.3, delta_t=0.5)
    assert curves.gen == pytest.approx([0.2])
    assert curves.score_error == pytest.approx([0.8])
