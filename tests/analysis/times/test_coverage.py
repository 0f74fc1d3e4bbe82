"""Intervals of τ_mem cover the planted crossing, whatever the noise: benchmarks/coverage_times.py in small."""

import numpy as np
import pytest

from tests.helpers.planted_curves import FAMILIES, read

CURVES = 120
UNCOUNTED = {"spike, then zeros"}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in UNCOUNTED])
def test_intervals_cover(name: str) -> None:
    times = read(FAMILIES[name], CURVES, 200, np.random.default_rng(5))
    assert (times["status"] == "reached").mean() > 0.95
    covers = (times["low"] <= times["tau"]) & (times["tau"] <= times["high"])
    assert covers.mean() > 0.95 - 4 * np.sqrt(0.95 * 0.05 / CURVES), covers.mean()
    error = np.log(times["value"] / times["tau"])
    assert abs(error.mean()) < max(0.06, 4 * error.std() / np.sqrt(CURVES))


@pytest.mark.slow
@pytest.mark.long
def test_a_spike_and_then_zeros_are_never_reached() -> None:
    times = read(FAMILIES["spike, then zeros"], CURVES, 50, np.random.default_rng(5))
    assert set(times["status"]) == {"right"}
