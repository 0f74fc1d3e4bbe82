"""Calibrated thresholds: held-out images pass at the rate that was asked for, in whatever space."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffmem.definitions import null_rate
from diffmem.errors import InputError
from diffmem.metrics.calibration import calibrated, check_count, threshold
from diffmem.metrics.search import NearestTwo, TrainingIndex


@given(st.integers(0, 2**31), st.integers(2, 300), st.floats(0.004, 0.99))
def test_at_most_the_rate_passes_and_one_more_would_be_above_it(seed: int, count: int, rate: float) -> None:
    ratio = torch.from_numpy(np.random.default_rng(seed).uniform(0.01, 1, count))
    if rate * count < 1 - 1e-9:
        with pytest.raises(InputError, match=rf"needs at least \d+ held-out images, and there are {count}: use null:"):
            calibrated(ratio, rate)
        return
    k = calibrated(ratio, rate)
    assert int((ratio < k).sum()) <= rate * count + 1e-6
    assert int((ratio <= k).sum()) > rate * count - 1e-6


def test_the_refused_rate_comes_with_one_that_is_accepted() -> None:
    with pytest.raises(InputError, match=r"k=null:0.001 needs at least 1000 .* use null:0\.002 or more"):
        check_count(500, 0.001)
    check_count(500, 0.002)
    check_count(1000, 0.001)


def test_a_number_stays_and_spaces_are_calibrated_each() -> None:
    g = torch.Generator().manual_seed(0)
    train, heldout = torch.rand(50, 1, 4, 4, generator=g), torch.rand(100, 1, 4, 4, generator=g)
    nearest = TrainingIndex(train).nearest_two(heldout)
    assert threshold(0.25, nearest) == 0.25
    one = TrainingIndex(train[..., :1]).nearest_two(heldout[..., :1])  # fewer dimensions: smaller ratios
    narrow, wide = threshold("null:0.05", one), threshold("null:0.05", nearest)
    assert narrow < wide < 1
    for k, found in ((narrow, one), (wide, nearest)):
        assert int((found.d1 / found.d2 < k).sum()) == 5


def test_held_out_images_that_were_trained_on_are_said() -> None:
    zero = NearestTwo(torch.zeros(10), torch.ones(10), torch.zeros(10).long(), torch.ones(10).long())
    with pytest.raises(InputError, match="10 of the 10 held-out images are training images too"):
        threshold("null:0.1", zero)


@pytest.mark.parametrize("k", ["null", "null:", "null:0", "null:1", "null:x", "0.3", "null:nan", "nul:0.1"])
def test_words_that_are_no_threshold_are_refused(k: str) -> None:
    with pytest.raises(InputError, match=f"k={k} is neither a number nor null:RATE"):
        null_rate(k)
