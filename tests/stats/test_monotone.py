"""Intervals against scipy and exact cases; isotonic fits and crossings against brute force and exact curves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from scipy.optimize import isotonic_regression

from diffmem.errors import NotReached
from diffmem.stats.intervals import bootstrap_fraction, jackknife, wilson
from diffmem.stats.monotone import crossing_time, crossing_times, isotonic

values = st.lists(st.floats(-10, 10), min_size=1, max_size=12)


@pytest.mark.parametrize(("count", "total"), [(0, 7), (3, 200), (200, 200), (57, 10_000)])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_wilson_is_scipys(count: int, total: int, level: float) -> None:
    known = scipy_stats.binomtest(count, total).proportion_ci(level, method="wilson")
    assert wilson(count, total, level) == pytest.approx((known.low, known.high), abs=1e-12)


def test_bootstrap_of_a_fraction_has_binomial_quantiles() -> None:
    low, high = bootstrap_fraction(30, 200, resamples=20_000, seed=3)
    exact = scipy_stats.binom(200, 0.15).ppf([0.025, 0.975]) / 200
    assert (low, high) == pytest.approx(tuple(exact), abs=1 / 200)
    assert bootstrap_fraction(30, 200, seed=3) == bootstrap_fraction(30, 200, seed=3)


def test_jackknife_of_a_mean_is_students_interval() -> None:
    x = np.random.default_rng(0).normal(size=40)
    left_out = [float(np.delete(x, i).mean()) for i in range(40)]
    low, high = jackknife(float(x.mean()), left_out, [1] * 40)
    known = scipy_stats.t.interval(0.95, 39, loc=x.mean(), scale=scipy_stats.sem(x))
    assert (low, high) == pytest.approx(known, rel=1e-9)


@given(points=values, data=st.data())
def test_isotonic_is_scipys(points: list[float], data: st.DataObject) -> None:
    k = len(points)
    weight = data.draw(st.lists(st.floats(0.1, 10), min_size=k, max_size=k))
    known = isotonic_regression(points, weights=weight).x
    np.testing.assert_allclose(isotonic(points, weight), known, atol=1e-9)
    np.testing.assert_allclose(isotonic([points, points[::-1]])[1], isotonic_regression(points[::-1]).x, atol=1e-9)


@pytest.mark.parametrize("tau", [1.5, 3.0, 40.0, 700.0])
@pytest.mark.parametrize("rising", [True, False])
def test_a_line_in_log_step_is_crossed_exactly(tau: float, rising: bool) -> None:
    step = np.array([1, 2, 5, 10, 100, 1000])
    value = np.log(step / tau) * (1 if rising else -1)
    assert crossing_time(step, value, 0.0, rising=rising) == pytest.approx(tau, rel=1e-12)


def test_the_bracket_from_step_zero_is_linear_in_step() -> None:
    assert crossing_time([0, 50, 100], [0.0, 1.0, 2.0], 0.3) == pytest.approx(15.0)


def test_a_crossing_must_stay_unless_told_otherwise() -> None:
    step, value = [1, 10, 100, 1000], [0.0, 1.0, 0.0, 1.0]
    middle = 10**2.5
    assert crossing_time(step, value, 0.5) == pytest.approx(middle)
    assert crossing_time(step, value, 0.5, stays=True) == pytest.approx(10**0.5)
    assert crossing_time(step, value, 0.5, stays=[False, False, True, False]) == pytest.approx(10**0.5)
    assert crossing_time(step, value, 0.5, stays=[True, True, False, True]) == pytest.approx(middle)


def test_a_time_that_the_curve_does_not_hold_is_no_number() -> None:
    with pytest.raises(NotReached, match="not by the last step 9") as late:
        crossing_time([0, 3, 9], [0.0, 0.9, 0.2], 0.5)
    assert (late.value.last_step, late.value.value) == (9, 0.2)
    with pytest.raises(NotReached, match="already at the first step 3") as early:
        crossing_time([3, 9], [0.6, 0.7], 0.5)
    assert (early.value.last_step, early.value.value) == (3, 0.6)
    found = crossing_times([3, 9], [[0.0, 0.1], [0.6, 0.7], [0.0, 0.7]], 0.5)
    assert found.time[:2].tolist() == [np.inf, -np.inf]
    assert found.after.tolist() == [2, 0, 1]


@settings(max_examples=200)
@given(points=st.lists(st.floats(0, 1), min_size=2, max_size=10), level=st.floats(0, 1), rising=st.booleans())
def test_the_crossing_lies_where_brute_force_puts_it(points: list[float], level: float, rising: bool) -> None:
    step, y = 2.0 ** np.arange(len(points)), np.array(points)
    beyond = y >= level if rising else y <= level
    last_short = int(np.flatnonzero(~beyond)[-1]) if not beyond.all() else -1
    time = crossing_times(step, y, level, rising=rising).time[0]
    if last_short == -1:
        assert time == -np.inf
    elif last_short == len(points) - 1:
        assert time == np.inf
    else:
        left, right = y[last_short], y[last_short + 1]
        at = (level - left) / (right - left)
        assert np.log2(time) == pytest.approx(last_short + at, abs=1e-9)


@pytest.mark.parametrize(
    ("step", "value"), [([], []), ([1, 1], [0.0, 1.0]), ([-1, 1], [0.0, 1.0]), ([1, 2], [0.0, float("nan")])]
)
def test_what_is_no_curve_is_refused(step: list[int], value: list[float]) -> None:
    with pytest.raises(ValueError, match="curve"):
        crossing_times(step, [value], 0.5)
