"""Arms beside a control: exact for one arm, right in the long run for many, and true to what is missing."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from diffmem.analysis.laws.blocks import compare

ARMS = list("abcdefgh")


def differences(y: np.ndarray) -> pd.DataFrame:
    """Of cells y [1 + arms, replicates], the control in front."""
    return pd.DataFrame(y[1:] - y[0], index=ARMS[: len(y) - 1])


def test_one_arm_is_the_paired_t_test() -> None:
    y = np.random.default_rng(0).normal(size=(2, 5)) + np.array([[0.0], [1.0]])
    found, exact = compare(differences(y)).table.loc["a"], ttest_rel(y[1], y[0])
    ends = exact.confidence_interval()
    for low, high in (("low", "high"), ("own_low", "own_high")):
        assert [found[low], found[high]] == pytest.approx([ends.low, ends.high])
    assert (found["p"], found["p_holm"], found["dof"]) == pytest.approx((exact.pvalue, exact.pvalue, 4))


def test_the_least_squares_are_those_of_the_two_way_layout() -> None:
    """By the textbook: residuals from row and column means, (A - 1)(R - 1) degrees of freedom, error sqrt(2/R) s."""
    y = np.random.default_rng(1).normal(size=(6, 3))
    residual = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0) + y.mean()
    blocks = compare(differences(y))
    assert blocks.scatter == pytest.approx(np.sqrt(np.square(residual).sum() / 10))
    assert blocks.table["effect"].to_numpy() == pytest.approx(y[1:].mean(axis=1) - y[0].mean())
    assert (blocks.table["high"] - blocks.table["low"]).to_numpy() == pytest.approx(
        2 * 2.228139 * blocks.scatter * np.sqrt(2 / 3)
    )


def test_intervals_cover_and_false_alarms_are_as_rare_as_said() -> None:
    """8 arms without effect in 3 replicates that differ much: 0.95 and at most 0.05, within 4 standard errors."""
    rng, rounds = np.random.default_rng(2), 150
    tables = [
        compare(differences(rng.normal(size=(9, 3)) + 10 * rng.normal(size=3)), ("h",)).table for _ in range(rounds)
    ]
    covered = np.mean([((table["low"] < 0) & (table["high"] > 0)).mean() for table in tables])
    own = np.mean([((table["own_low"] < 0) & (table["own_high"] > 0)).mean() for table in tables])
    alarms = np.mean([(table["p_holm"] < 0.05).any() for table in tables])
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / rounds)  # the arms of one family share their control
    assert abs(own - 0.95) < 4 * np.sqrt(0.95 * 0.05 / rounds)
    assert alarms < 0.05 + 4 * np.sqrt(0.05 * 0.95 / rounds)
    assert all(table["p_holm"].isna().tolist() == [False] * 7 + [True] for table in tables)


def test_arms_that_lack_a_replicate_are_used_as_far_as_they_go() -> None:
    y = np.random.default_rng(3).normal(0, 0.01, size=(4, 3)) + np.arange(4.0)[:, None]
    y[2, 0] = y[3, 1] = y[3, 2] = np.nan
    table = compare(differences(y)).table
    assert table.loc["a":"b", "effect"].to_numpy() == pytest.approx([1, 2], abs=0.05)
    assert table["pairs"].to_list()[:2] == [3, 2]
    assert table.loc["c"].isna().all()
    assert table["dof"].iloc[0] == 8 - 3 - 3 + 1


def test_nothing_is_claimed_without_replicates() -> None:
    table = compare(pd.DataFrame({0: [1.0, 2.0]}, index=["a", "b"])).table
    assert table.isna().all(axis=None)
    assert list(table.index) == ["a", "b"]
