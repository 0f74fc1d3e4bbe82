"""Interventions on planted families: who only slows down, who widens the window, and a placebo that shows nothing."""

from typing import Any

import numpy as np
import pytest

from diffmem.analysis.laws.interventions import Effects, effects
from diffmem.analysis.tables.family import Family
from diffmem.errors import InputError
from tests.helpers.families import as_family, planted_rows

GEN, BIAS, SCATTER = 300.0, 1000.0, 0.1


def arm(
    rng: np.random.Generator, gen: float = 1.0, bias: float = 1.0, replicates: int = 3, scatter: float = 0.1
) -> Family:
    """Runs whose τ_gen and τ_bias are so many times the control's, each run with SCATTER of its own in log τ.

    Test and train loss part as p_train rises.
    """
    runs = []
    for seed in range(replicates):
        own = np.exp(SCATTER * rng.standard_normal(2))
        rows = planted_rows(128, 8 * BIAS * bias, GEN * gen * own[0], seed=seed, tau_bias=BIAS * bias * own[1], rng=rng)
        test = 0.3 + 0.7 / (1 + rows["step"] / (GEN * gen))
        runs.append(rows.assign(loss_test_t100=test, loss_train_t100=test - 0.2 * (rows["p_train"] - 0.5)))
    return as_family(*runs)


@pytest.fixture(scope="module")
def found() -> Effects:
    rng = np.random.default_rng(1)
    return effects(
        {
            "control": arm(rng),
            "placebo": arm(rng),
            "slow": arm(rng, 2, 2),
            "wide": arm(rng, 1, 3),
            "never": arm(rng, 1, 100),
            "few": arm(rng, replicates=1),
        }
    )


def row(found: Effects, name: str, estimand: str) -> dict[Any, Any]:
    (one,) = found.table[(found.table["arm"] == name) & (found.table["estimand"] == estimand)].to_dict("records")
    return one


@pytest.mark.parametrize(
    ("name", "estimand", "true"),
    [
        ("slow", "tau_gen", np.log(2)),
        ("slow", "tau_bias", np.log(2)),
        ("slow", "window", 0),
        ("wide", "tau_gen", 0),
        ("wide", "tau_bias", np.log(3)),
        ("wide", "window", np.log(3)),
    ],
)
def test_planted_effects_on_times_are_found(found: Effects, name: str, estimand: str, true: float) -> None:
    """Within four standard errors of a difference of means of three; whether intervals cover is a test of `blocks`."""
    one = row(found, name, estimand)
    error = SCATTER * np.sqrt((2 if estimand == "window" else 1) * 2 / 3)
    assert abs(one["effect"] - true) < 4 * error
    assert one["low"] < one["effect"] < one["high"]
    assert one["high"] - one["low"] < 8 * error
    if true:
        assert one["p_holm"] < 0.05
    assert one["pairs"] == 3


@pytest.mark.parametrize("name", ["slow", "placebo"])
def test_who_is_only_slower_or_nothing_else_pays_the_same_at_equal_quality(found: Effects, name: str) -> None:
    for estimand in ("p_train", "gap"):
        one, wide = row(found, name, estimand), row(found, "wide", estimand)
        assert one["p"] > 0.001
        assert abs(one["effect"]) < abs(wide["effect"]) / 2


def test_a_wider_window_is_cheaper_at_equal_quality(found: Effects) -> None:
    for estimand in ("p_train", "gap"):
        one = row(found, "wide", estimand)
        assert one["high"] < 0
        assert one["p_holm"] < 0.05


def test_a_placebo_shows_nothing_and_is_no_part_of_the_correction(found: Effects) -> None:
    for estimand in ("tau_gen", "tau_bias", "window", "p_train", "gap"):
        one = row(found, "placebo", estimand)
        assert one["p"] > 0.001
        assert np.isnan(one["p_holm"])


def test_a_time_that_was_not_reached_leaves_a_bound_and_one_replicate_nothing(found: Effects) -> None:
    for estimand in ("tau_bias", "window"):
        one = row(found, "never", estimand)
        assert np.isnan(one["effect"])
        assert 0.5 < one["bound"] < np.log(100)
    assert np.isfinite(row(found, "never", "p_train")["effect"])  # which is never censored
    assert np.isnan(row(found, "few", "window")["effect"])
    assert np.isnan(row(found, "few", "window")["bound"])


def test_arms_need_a_control_and_a_pair() -> None:
    rng = np.random.default_rng(2)
    with pytest.raises(InputError, match="one of them must be called control"):
        effects({"placebo": arm(rng)})
    other = as_family(planted_rows(64, 8000, 300, rng=rng))
    with pytest.raises(InputError, match="no run of an arm has one of the control beside it"):
        effects({"control": arm(rng), "placebo": other})
