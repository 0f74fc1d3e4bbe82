"""Tests of paired fractions against scipy, published worked examples, and their own coverage."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2, multinomial

from diffmem.stats.intervals import wilson
from diffmem.stats.paired import cochran_q, holm, mcnemar_exact, newcombe_paired, newcombe_unpaired

counts = st.integers(0, 60)


@given(counts, counts)
def test_mcnemar_is_scipys_binomial_test(first: int, second: int) -> None:
    expected = binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert mcnemar_exact(first, second) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_of_published_data() -> None:
    """Fagerland, Lydersen and Laake 2013: airway hyper-responsiveness, exact conditional p = 0.0703."""
    assert round(mcnemar_exact(1, 7), 4) == 0.0703


def test_newcombe_of_published_data() -> None:
    """Fagerland et al. 2014, the same data (1, 1, 7, 12): -0.507 to -0.026. Newcombe 1998, 56/70 and 48/80."""
    found = newcombe_paired(1, 1, 7, 12)
    assert (round(found.value, 3), round(found.low, 3), round(found.high, 3)) == (-0.286, -0.507, -0.026)
    found = newcombe_unpaired(56, 70, 48, 80)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)


@given(counts, counts, counts, counts)
def test_newcombe_holds_its_estimate_and_turns_with_the_pair(a: int, b: int, c: int, d: int) -> None:
    if a + b + c + d == 0:
        return
    found, turned = newcombe_paired(a, b, c, d), newcombe_paired(a, c, b, d)
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=1e-12)
    assert found.high > found.low or b + c == 0


def test_newcombe_paired_covers() -> None:
    """The interval holds the truth with probability near 0.95, by summing over every table of 30 pairs."""
    p, total = np.array([0.3, 0.25, 0.1, 0.35]), 30
    tables = np.array([t for t in itertools.product(range(total + 1), repeat=4) if sum(t) == total])
    weight = multinomial.pmf(tables, total, p)
    likely = weight > 1e-5
    held = [(f := newcombe_paired(*map(int, t))).low <= p[1] - p[2] <= f.high for t in tables[likely]]
    assert 0.93 < float(weight[likely][held].sum() / weight[likely].sum()) < 0.98


def test_cochran_q_of_published_data() -> None:
    """The SAS manual's three drugs on 46 subjects: Q = 8.4706 with 2 degrees of freedom, p = 0.0145."""
    answers = {"000": 6, "100": 2, "001": 16, "101": 4, "010": 2, "110": 6, "011": 4, "111": 6}
    rows = [[int(c) for c in word] for word, count in answers.items() for _ in range(count)]
    found = cochran_q(rows)
    assert (round(found.statistic, 4), found.df, round(found.p, 4)) == (8.4706, 2, 0.0145)


@given(counts, st.integers(1, 60), counts)
def test_cochran_q_of_two_is_mcnemars_statistic(both: int, first: int, second: int) -> None:
    rows = [[1, 1]] * both + [[1, 0]] * first + [[0, 1]] * second
    statistic = (first - second) ** 2 / (first + second)
    assert cochran_q(rows).statistic == pytest.approx(statistic)
    assert cochran_q(rows).p == pytest.approx(chi2.sf(statistic, 1))


def test_cochran_q_where_all_answer_alike() -> None:
    assert cochran_q([[1, 1, 1], [0, 0, 0]])[::2] == (0.0, 1.0)


def test_unpaired_difference_from_zero_is_wilson() -> None:
    """Against a fraction known exactly (a huge sample at 0) the interval is Wilson's."""
    found, (low, high) = newcombe_unpaired(7, 40, 0, 10**12), wilson(7, 40)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_holm() -> None:
    """Holm 1979: 4, 3, 2, 1 times the sorted values, never falling, never above 1."""
    np.testing.assert_allclose(holm([0.03, 0.005, 0.02, 0.9]), [0.06, 0.02, 0.06, 0.9])
    np.testing.assert_allclose(holm([0.021, 0.02, 0.5]), [0.06, 0.06, 0.5])
    assert len(holm([])) == 0


@pytest.mark.parametrize(
    "call", [lambda: mcnemar_exact(-1, 2), lambda: newcombe_paired(0, 0, 0, 0), lambda: cochran_q([[1]])]
)
def test_bad_counts(call: object) -> None:
    with pytest.raises(ValueError, match=r"counts|subjects"):
        call()  # type: ignore[operator]
