"""How far few directions dominate: known spectra, what it says about random features, and where it warns."""

import math
import warnings

import numpy as np
import pytest

from diffmem.config.compose import compose_theory
from diffmem.errors import InputError
from diffmem.theory import tables
from diffmem.theory.covariance import Cov, of_data, power_law
from diffmem.theory.dynamics import finite_curves, limit_curves
from diffmem.theory.model import Model
from diffmem.theory.simulate import draw
from diffmem.theory.validity import LARGEST, LEAST, MOST, ValidityWarning, check, dominance


def model(cov: Cov | None, t: float = 0.1) -> Model:
    return Model(psi_p=4, psi_n=2, t=t, cov=cov)


@pytest.mark.parametrize("d", [1, 10, 1000])
@pytest.mark.parametrize("variance", [0.2, 1.0, 30.0])
def test_isotropic_data_have_none_and_never_warn(d: int, variance: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check(model(([variance], [1.0])), d).warning is None
    assert dominance(model(([variance], [1.0])), d) == 0


@pytest.mark.parametrize("t", [0.01, 0.5])
def test_one_direction_with_all_the_variance(t: float) -> None:
    d = 50
    alone = model(([0.0, d], [1 - 1 / d, 1 / d]), t)
    assert alone.constants.gamma2 == pytest.approx(1)
    assert dominance(alone, d) == pytest.approx(math.exp(-4 * t) * (1 - 1 / d), rel=1e-12)


def test_it_is_the_correlation_of_two_points_beyond_the_isotropic_one() -> None:
    d, t, rng = 40, 0.1, np.random.default_rng(0)
    sigma = power_law(1.2, d)
    x, y = rng.standard_normal((2, 200_000, d)) * np.sqrt(sigma.eigenvalues)
    correlation = math.exp(-2 * t) * (x * y).sum(axis=1) / d  # of two pre-activations over W; Γ² = 1
    error = 4 * (correlation**2).std() / math.sqrt(len(x))
    assert (correlation**2).mean() - math.exp(-4 * t) / d == pytest.approx(dominance(model(sigma, t), d), abs=error)


def test_noise_and_more_dimensions_lower_it() -> None:
    sigma = power_law(1.5, 64)
    over_t = [dominance(model(sigma, t), 64) for t in (0.01, 0.1, 0.5, 2.0)]
    assert (np.diff(over_t) < 0).all()
    assert dominance(model(sigma), 128) == pytest.approx(dominance(model(sigma), 64) / 2)
    with pytest.raises(InputError, match="d=0"):
        dominance(model(sigma), 0)


def test_it_warns_above_its_bound_and_only_there() -> None:
    scale = LARGEST / dominance(model(([0.0, 2.0], [0.5, 0.5])), 1)
    d = round(1 / scale)  # where this spectrum is at the bound
    assert check(model(([0.0, 2.0], [0.5, 0.5])), d + 1).warning is None
    with pytest.warns(ValidityWarning, match=f"few of the {d - 1} directions dominate"):
        said = check(model(([0.0, 2.0], [0.5, 0.5])), d - 1)
    assert (said.error_low, said.error_high) == pytest.approx((LEAST * said.dominance, MOST * said.dominance))


def test_images_are_warned_of() -> None:
    points = np.random.default_rng(0).standard_normal((300, 1)) @ np.ones((1, 30))
    with pytest.warns(ValidityWarning):
        assert check(model(of_data(points + 0.01)), 30).error_high == 1


def test_the_command_measures_at_the_d_of_the_data() -> None:
    small = ["draws=0", "points=12", "psi_p=4", "psi_n=2"]
    for words in (["covariance=isotropic"], ["covariance=levels"], ["covariance=power_law", "exponent=0"]):
        assert tables.curves(compose_theory([*small, *words])).facts["validity"]["warning"] is None
    with pytest.warns(ValidityWarning, match="few of the 30 directions"):
        facts = tables.curves(compose_theory([*small, "covariance=power_law", "count=30"])).facts
    assert facts["validity"]["dominance"] == dominance(Model(4, 2, 0.1, cov=power_law(1.5, 30)), 30)


@pytest.mark.slow
def test_the_error_of_random_features_is_the_one_that_was_said() -> None:
    d, tau = 100, np.geomspace(1, 1000, 8)
    for exponent in (1.0, 2.0):
        one = Model(psi_p=4, psi_n=2, t=0.05, activation="relu", cov=power_law(exponent, d))
        limit, away = limit_curves(one, tau), {}
        for features in ("gaussian", "sampled"):
            drawn = [finite_curves(draw(one, d, features=features, seed=seed), tau) for seed in range(3)]
            means = [np.mean([getattr(curves, name) for curves in drawn], axis=0) for name in ("train", "test")]
            away[features] = max(np.abs(means[0] / limit.train - 1).max(), np.abs(means[1] / limit.test - 1).max())
        with pytest.warns(ValidityWarning):
            said = check(one, d)
        assert said.error_low < away["sampled"] < said.error_high
        assert away["gaussian"] < 0.2 * away["sampled"]  # it obeys the theory's formulas and tells nothing
