"""When shares come to a level and stay, and what the checkpoint grid can tell."""

import numpy as np
import pytest
from scipy.special import expit, logit

from diffmem.analysis.times.curves import resample
from diffmem.analysis.times.family import family_times, tau_mem
from diffmem.analysis.times.rising import rise_times, without_excursions
from tests.helpers.families import as_family, curve, planted_rows

STEP = np.array([100, 200, 400, 800, 1600, 3200])


@pytest.mark.parametrize("tau", [410.0, 560.0, 790.0])
@pytest.mark.parametrize("width", [0.1, 0.3, 1.0])
def test_a_logistic_curve_is_read_without_bias_however_coarse_the_grid(tau: float, width: float) -> None:
    share = expit(logit(0.05) + np.log(STEP / tau) / width)
    total = np.full(len(STEP), 1e12)
    assert rise_times(STEP, share[None], total, np.array([0.05])).time[0] == pytest.approx(tau, rel=1e-3)


def test_no_share_is_above_the_upper_bound_of_a_later_one_and_rising_curves_are_as_they_were() -> None:
    total = np.full(6, 200.0)
    rng = np.random.default_rng(0)
    rising = np.sort(rng.uniform(size=(50, 6)), axis=1)
    np.testing.assert_array_equal(without_excursions(rising, total), rising)
    kept = without_excursions(np.array([[0.0, 0.3, 0.0, 0.0, 0.2, 0.19]]), total)[0]
    assert kept.tolist() == [0.0, pytest.approx(3.8415 / 203.8415, rel=1e-3), 0.0, 0.0, 0.2, 0.19]


def test_a_steep_curve_may_cross_anywhere_in_its_bracket_and_a_shallow_one_may_not() -> None:
    def bracket(before: float, after: float) -> float:
        share = np.array([[0.0, 0.0, before, after, 0.9, 0.9]])
        return rise_times(STEP, share, np.full(6, 1e9), np.array([0.05])).bracket

    assert bracket(0.0, 0.5) == bracket(0.01, 0.3) == 1
    assert bracket(0.045, 0.055) == pytest.approx((logit(0.055) - logit(0.045)) / 2)


def test_an_interval_holds_what_the_grid_can_tell() -> None:
    """Many samples leave no noise: the interval of a steep curve is its bracket, that of a shallow one is narrow."""
    grid = np.array([0, 50, 100, 200, 400, 800, 1600, 3200, 6400])
    rows = planted_rows(64, 560, 150, total=10**7, grid=grid)
    steep = rows.assign(f_mem_count=np.where(rows["step"] > 560, 10**7, 0), run="steep")
    shallow, sharp = family_times(as_family(rows, steep), 200).to_dict("records")
    assert (sharp["tau_mem_low"], sharp["tau_mem_high"]) == (pytest.approx(400), pytest.approx(800))
    assert shallow["tau_mem_low"] <= shallow["tau_mem"] <= shallow["tau_mem_high"]
    assert shallow["tau_mem_low"] >= 400
    assert shallow["tau_mem_high"] <= 800


def test_copies_of_a_spike_do_not_cross_at_it() -> None:
    one = curve([*range(100, 1300, 100)], [0, 60, 0, 0, 0, 0, 0, 2, 15, 50, 120, 170])
    (drawn,) = resample(as_family(planted_rows(16, 160, 150).assign(run="run")), [one], 500, 0)
    reading = tau_mem(one, draws=drawn)
    assert reading.status == "reached"
    assert reading.low > 400


def test_too_few_points_on_the_rise_to_tell_jitter_are_said() -> None:
    few, enough = (curve(list(STEP), [0, 0, *rise, 100, 200]) for rise in ([0, 1], [4, 30]))
    for one, said in ((few, True), (enough, False)):
        (drawn,) = resample(as_family(planted_rows(16, 160, 150).assign(run="run")), [one], 50, 0)
        assert any("fewer than three points on the rise" in note for note in tau_mem(one, draws=drawn).notes) == said
    assert tau_mem(few).notes == ()
