"""Intervals of a fraction and of a smooth statistic: closed forms, exact cases and coverage."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from diffmem.stats.intervals import bootstrap_fraction, effective_size, jackknife, wilson, wilson_mean


@given(st.integers(1, 20000), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_equals_scipy_and_holds_its_fraction(total: int, share: float, level: float) -> None:
    count = round(share * total)
    low, high = wilson(count, total, level)
    expected = scipy.stats.binomtest(count, total).proportion_ci(level, method="wilson")
    assert low == pytest.approx(expected.low, abs=1e-12)
    assert high == pytest.approx(expected.high, abs=1e-12)
    assert 0 <= low <= count / total <= high <= 1
    assert low < high


def test_wilson_at_the_ends() -> None:
    z2 = scipy.stats.norm.ppf(0.975) ** 2
    assert wilson(0, 200) == pytest.approx((0, z2 / (200 + z2)))
    assert wilson(200, 200) == pytest.approx((200 / (200 + z2), 1))
    for total in range(1, 500):  # exactly, whatever rounding does
        assert wilson(0, total)[0] == 0.0
        assert wilson(total, total)[1] == 1.0


@pytest.mark.parametrize(("count", "total"), [(0, 0), (-1, 5), (6, 5)])
def test_what_is_no_fraction_is_refused(count: int, total: int) -> None:
    for interval in (wilson, bootstrap_fraction):
        with pytest.raises(ValueError, match="no fraction"):
            interval(count, total)


@pytest.mark.parametrize("share", [0.0, 0.002, 0.03, 0.2, 0.5, 0.97, 1.0])
def test_a_mean_with_the_scatter_of_a_fraction_has_its_interval_and_one_with_less_a_narrower(share: float) -> None:
    error = math.sqrt(share * (1 - share) / 200)
    assert wilson_mean(share, error, 200) == pytest.approx(wilson(200 * share, 200))
    low, high = wilson_mean(share, error / 2, 200)
    assert wilson(200 * share, 200)[0] <= low <= share <= high <= wilson(200 * share, 200)[1]
    assert high > low
    assert effective_size(share, *wilson_mean(share, error, 200)) == pytest.approx(200)
    wide = wilson_mean(share, 0.1, 200)
    size = float(effective_size(share, *wide))
    assert wilson(share * size, size) == pytest.approx(wide)


def test_coverage_of_a_rare_fraction_by_enumeration() -> None:
    """What 0.002 of 200 samples gives, over every count: Wilson covers, the percentiles of resamples do not."""
    counts = range(201)
    chance = np.asarray(scipy.stats.binom.pmf(counts, 200, 0.002))
    covers = {
        interval: sum(float(chance[c]) for c in counts if interval(c, 200)[0] <= 0.002 <= interval(c, 200)[1])
        for interval in (wilson, bootstrap_fraction)
    }
    assert covers[wilson] == pytest.approx(0.939, abs=0.001)
    assert covers[bootstrap_fraction] == pytest.approx(0.33, abs=0.005)


def test_bootstrap_is_seeded_and_equals_resampling_the_indicators() -> None:
    count, total = 60, 200
    found = bootstrap_fraction(count, total, resamples=20000, seed=3)
    assert found == bootstrap_fraction(count, total, resamples=20000, seed=3)
    assert len({bootstrap_fraction(count, total, resamples=50, seed=seed) for seed in range(10)}) > 1
    indicators = np.arange(total) < count
    means = np.random.default_rng(0).choice(indicators, size=(20000, total)).mean(axis=1)
    # A quantile of 20,000 draws has a standard error of about 0.0006 here; draws lie on a grid of 0.005.
    assert found == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.0051)
    with pytest.raises(ValueError, match="resamples=0"):
        bootstrap_fraction(count, total, resamples=0)


def test_jackknife_of_a_mean_is_students_interval() -> None:
    """With blocks of one sample the standard error of a mean is the textbook one."""
    x = np.random.default_rng(1).normal(size=30)
    left_out = [float(np.delete(x, j).mean()) for j in range(30)]
    expected = scipy.stats.t.interval(0.95, 29, loc=x.mean(), scale=x.std(ddof=1) / math.sqrt(30))
    assert jackknife(float(x.mean()), left_out, [1] * 30) == pytest.approx(expected)


def test_jackknife_of_unequal_blocks_covers() -> None:
    """Intervals of 1,000 means of 210 samples, blocks of 5 to 16, hold the true mean in 95% of the draws."""
    rng = np.random.default_rng(2)
    sizes = np.arange(5, 17).repeat(2)[:20]
    edges = np.cumsum(sizes)[:-1]
    covered = 0
    for _ in range(1000):
        x = rng.exponential(size=int(sizes.sum()))
        left_out = [(x.sum() - block.sum()) / (len(x) - len(block)) for block in np.split(x, edges)]
        low, high = jackknife(float(x.mean()), left_out, sizes.tolist())
        covered += low <= 1.0 <= high
    assert abs(covered / 1000 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 1000)


@pytest.mark.parametrize(("left_out", "sizes"), [([1.0], [1]), ([], []), ([1.0, 2.0], [1])])
def test_jackknife_needs_two_blocks(left_out: list[float], sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="two blocks"):
        jackknife(1.0, left_out, sizes)
