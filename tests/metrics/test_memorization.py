"""f_mem is read off the two nearest training images: copies are memorized, fresh images are not."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diffmem.errors import InputError
from diffmem.metrics.memorization import (
    QUANTILES,
    gap_ratio,
    leave_one_out,
    memorized_fraction,
    null_columns,
    summarize,
)
from diffmem.metrics.search import NearestTwo, TrainingIndex, nearest_two


def images(count: int, seed: int, size: int = 5) -> Tensor:
    return torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 2**31), st.floats(0.01, 100), st.sampled_from([0.0, 1.0, -30.0]))
@settings(max_examples=30, deadline=None)
def test_ratio_knows_neither_shift_nor_scale(seed: int, scale: float, shift: float) -> None:
    g = torch.Generator().manual_seed(seed)
    train, samples = torch.rand(30, 12, generator=g).double(), torch.rand(20, 12, generator=g).double()
    plain, moved = nearest_two(samples, train), nearest_two(samples * scale + shift, train * scale + shift)
    torch.testing.assert_close(gap_ratio(plain.d1, plain.d2), gap_ratio(moved.d1, moved.d2), rtol=1e-8, atol=1e-12)


def test_copies_are_memorized_and_fresh_images_are_not() -> None:
    g = torch.Generator().manual_seed(7)
    train, fresh = torch.rand(200, 64, generator=g), torch.rand(100, 64, generator=g)
    twice = torch.cat([train, train])  # duplicates hide no copy
    copies = nearest_two(train[:50], twice)
    fraction = memorized_fraction(copies.d1, copies.d2)
    assert (fraction.count, fraction.total, fraction.value, fraction.high) == (50, 50, 1.0, 1.0)
    assert float(gap_ratio(copies.d1, copies.d2).max()) == 0.0
    null = nearest_two(fresh, twice)
    fraction = memorized_fraction(null.d1, null.d2)
    assert (fraction.count, fraction.value, fraction.low) == (0, 0.0, 0.0)
    assert 0.03 < fraction.high < 0.04  # z^2 / (M + z^2)


def test_the_threshold_is_strict_and_bounded() -> None:
    d1, d2 = torch.tensor([0.0, 1.0, 2.0, 4.0]).double(), torch.full((4,), 4.0).double()
    assert memorized_fraction(d1, d2, 1 / 4).count == 1
    assert memorized_fraction(d1, d2, 1.0).count == 3
    for k in (0.0, 1.5, math.nan):
        with pytest.raises(InputError, match="k="):
            memorized_fraction(d1, d2, k)


@pytest.mark.parametrize(
    ("d1", "d2"), [([0.0], [0.0]), ([2.0], [1.0]), ([math.nan], [1.0]), ([], []), ([1.0], [math.inf])]
)
def test_impossible_distances_are_refused(d1: list[float], d2: list[float]) -> None:
    with pytest.raises(InputError):
        memorized_fraction(torch.tensor(d1), torch.tensor(d2))


def test_summary_columns() -> None:
    d1, d2 = (torch.arange(100).double() + 0.5) / 100, torch.ones(100).double()
    nearest = NearestTwo(d1, d2, torch.zeros(100).long(), torch.ones(100).long())
    row = summarize(nearest, k=1 / 3, bootstrap=500, seed=1)
    assert row == summarize(nearest, k=1 / 3, bootstrap=500, seed=1)
    assert (row["f_mem_count"], row["f_mem_total"]) == (33, 100)
    assert row["f_mem_low"] < row["f_mem"] < row["f_mem_high"]
    assert row["f_mem_boot_low"] < row["f_mem"] < row["f_mem_boot_high"]
    shares = [row[f"f_mem_k{k}"] for k in ("0.2000", "0.2500", "0.3333", "0.4000", "0.5000")]
    assert shares == [0.20, 0.25, 0.33, 0.40, 0.50]
    for q in QUANTILES:
        assert row[f"ratio_q{round(100 * q):02d}"] == pytest.approx(q, abs=0.006)
        assert row[f"d1_q{round(100 * q):02d}"] == pytest.approx(q, abs=0.006)
    assert not any(name.startswith("f_mem_boot") for name in summarize(nearest, bootstrap=0))
    null = null_columns(nearest)
    assert set(null) == {f"f_mem_null{part}" for part in ("", "_count", "_total", "_low", "_high")}
    assert null["f_mem_null"] == row["f_mem"]


def test_leave_one_out_is_the_null_of_the_rest() -> None:
    train = torch.cat([images(30, 0), images(30, 0)[:5]])  # five duplicates
    nearest = leave_one_out(TrainingIndex(train))
    for i in range(30):
        rest = torch.cat([images(30, 0)[:i], images(30, 0)[i + 1 :]])
        alone = TrainingIndex(rest).nearest_two(images(30, 0)[i : i + 1])
        assert (float(nearest.d1[i]), float(nearest.d2[i])) == pytest.approx((float(alone.d1), float(alone.d2)))
    with pytest.raises(InputError, match="held-out"):
        leave_one_out(TrainingIndex(images(2, 0)))
