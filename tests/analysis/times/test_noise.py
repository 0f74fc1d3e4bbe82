"""The noise of curves: what resampled copies hold, and how much jitter is read off a rough curve."""

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import beta

from diffmem.analysis.times.noise import copies_of, jitter, log_odds, pair_weights

STEP = np.array([50 * 2**k for k in range(12)])
X = np.log(STEP)
LINE = -6 + 1.5 * (X - X[0])  # log odds of a logistic curve
TOTAL = np.full(len(STEP), 400.0)
NONE = np.full((2000, len(STEP)), np.nan)


@pytest.mark.parametrize("count", [0, 1, 20, 200])
def test_weighted_counts_have_the_spread_of_a_beta_at_a_count_of_zero_too(count: int) -> None:
    weights = pair_weights(200, 4000, np.random.default_rng(0))
    share = weights @ np.append(np.arange(200) < count, 1) / 200
    law = beta(count + 0.5, 200 - count + 0.5)
    assert share.mean() == pytest.approx(law.mean(), abs=4 * law.std() / np.sqrt(4000))
    np.testing.assert_allclose(np.quantile(share, [0.1, 0.5, 0.9]), law.ppf([0.1, 0.5, 0.9]), atol=0.1 * law.std())


def test_unpaired_noise_is_that_of_samples_that_count_from_one_step_on() -> None:
    """Oracle: M thresholds, each sample counted where the share has passed its own, in log odds."""
    share, rng = expit(LINE), np.random.default_rng(0)
    copies = logit(copies_of(STEP, share, share, TOTAL, None, 4000, rng))
    drawn = np.array([(rng.uniform(size=(400, 1)) < share).sum(axis=0) for _ in range(4000)]) / 400
    oracle = log_odds(drawn, 400)
    middle = (share > 0.03) & (share < 0.97)
    np.testing.assert_allclose(copies.std(axis=0)[middle], oracle.std(axis=0)[middle], rtol=0.1)
    near, expected = (np.diag(np.corrcoef(one[:, middle].T), 1) for one in (copies, oracle))
    np.testing.assert_allclose(near, expected, atol=0.06)


def test_noise_does_not_depend_on_other_totals_of_the_curve() -> None:
    share, many = expit(LINE), np.where(np.arange(len(STEP)) < 6, 400.0, 1600.0)
    copies = logit(copies_of(STEP, share, share, many, None, 4000, np.random.default_rng(0)))
    expected = 1 / np.sqrt(many * share * (1 - share))
    middle = (share > 0.03) & (share < 0.97)
    np.testing.assert_allclose(copies.std(axis=0)[middle], expected[middle], rtol=0.1)


@pytest.mark.parametrize("sigma", [0.1, 0.3])
def test_planted_jitter_is_found_and_its_uncertainty_holds_it(sigma: float) -> None:
    rng, inside, middle = np.random.default_rng(0), [], []
    error = np.full(len(X), 0.05**2)
    for _ in range(200):
        value = LINE + np.hypot(sigma, 0.05) * rng.standard_normal(len(X))
        drawn = np.sqrt(jitter(X, value, error, NONE, rng))
        low, at, high = np.quantile(drawn, [0.025, 0.5, 0.975])
        inside.append(low <= sigma <= high)
        middle.append(at)
    assert np.mean(inside) > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 200)
    assert np.median(middle) == pytest.approx(sigma, rel=0.2)


def test_sampling_noise_alone_is_no_jitter_and_shared_noise_hides_none() -> None:
    rng, error = np.random.default_rng(0), np.full(len(X), 0.2**2)
    alone = [np.median(jitter(X, LINE + 0.2 * rng.standard_normal(len(X)), error, NONE, rng)) for _ in range(100)]
    assert np.median(alone) < 0.3 * 0.2**2
    shared = 0.2 * rng.standard_normal((2000, 1)) * np.ones_like(X)
    rough = [np.median(jitter(X, LINE + 0.2 * rng.standard_normal(len(X)), error, shared, rng)) for _ in range(100)]
    assert np.median(rough) == pytest.approx(0.2**2, rel=0.3)


def test_a_straight_line_and_too_few_points_have_none() -> None:
    error, rng = np.full(len(X), 0.1**2), np.random.default_rng(0)
    assert np.median(jitter(X, LINE, error, NONE, rng)) == 0
    assert (jitter(X[:2], LINE[:2], error[:2], NONE[:, :2], rng) == 0).all()
