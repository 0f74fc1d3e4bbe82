"""The common level lies below what trivial generators score, or there is none, or it is refused."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis.laws.family import laws
from diffmem.analysis.laws.sentence import sentence
from diffmem.analysis.times.curves import Curve
from diffmem.analysis.times.family import family_times, tau_gen
from diffmem.analysis.times.level import common_level, sampler_note, unreachable
from diffmem.errors import InputError
from tests.helpers.families import as_family, curve, planted_rows

STEPS = [0, 100, 200, 400, 800, 1600]
ENDS = {"real": 0.5, "mean_image": 413.0, "independent": 17.0, "gaussian": 26.0, "average": 58.0}


def measured(measure: str = "mmd_pixels", ends: dict[str, float] | None = None, **other: Any) -> Curve:
    value = np.array([500.0, 100.0, 20.0, 4.0, -0.5, 0.3])
    parts = {"quality": value, "quality_low": value - 2, "quality_high": value + 2} | other
    made = curve(STEPS, [0] * 6, **parts)
    return Curve(**{**made.__dict__, "measure": measure, "bookends": ENDS if ends is None else ends})


def test_half_of_the_best_trivial_generator_for_a_kernel_distance() -> None:
    level = common_level([measured(), measured()])
    assert (level.value, level.set_by, level.notes) == (8.5, "independent", ())
    reading = tau_gen(measured())
    assert reading.value == pytest.approx(200 * 2 ** ((20 - 8.5) / 16))
    assert reading.status == "reached"  # although later values are negative


def test_half_way_in_log_to_the_floor_for_a_frechet_distance() -> None:
    level = common_level([measured("fd_pixels", {"real": 0.25, "gaussian": 0.49, "mean_image": 4.7})])
    assert level.value == pytest.approx(0.35)
    assert level.set_by == "gaussian"


def test_the_strictest_counts_where_runs_differ() -> None:
    level = common_level([measured(), measured(ends=ENDS | {"independent": 10.0})])
    assert level.value == 5.0
    assert level.notes == ("the runs differ in what independent score: the least counts",)
    assert common_level([measured(), measured(ends=ENDS | {"independent": 17.01})]).notes == ()


@pytest.mark.parametrize("given", [17.0, 17.5, 500.0])
def test_a_level_that_a_trivial_generator_comes_to_is_refused(given: float) -> None:
    words = rf"level={given:g} of mmd_pixels is no quality: independent, a generator that knows nothing, scores 17\. "
    with pytest.raises(InputError, match=words):
        common_level([measured()], given)
    assert common_level([measured()], 16.9).value == 16.9


@pytest.mark.parametrize("ends", [{"real": 0.4}, ENDS | {"real": 9.0}, ENDS | {"independent": -0.2}])
def test_without_a_level_that_means_something_there_is_none(ends: dict[str, float]) -> None:
    level = common_level([measured(ends=ends)])
    assert math.isnan(level.value)
    reading = tau_gen(measured(ends=ends))
    assert reading.status == "refused"
    assert "or give a level" in reading.notes[0]


def test_a_table_without_bookends_says_evaluate_again_and_takes_a_level_with_a_note() -> None:
    table = planted_rows(64, 2500, 150)
    bare = as_family(table[[name for name in table if "@" not in str(name)]])
    (row,) = family_times(bare, n_boot=0).to_dict("records")
    assert (row["tau_gen_status"], row["tau_mem_status"]) == ("refused", "reached")
    assert "fd_pixels@gaussian" in row["notes"]
    assert "`diffmem evaluate` the runs again, or give a level" in row["notes"]
    (given,) = family_times(bare, n_boot=0, level=1.5).to_dict("records")
    assert given["tau_gen_status"] == "reached"
    assert "nothing vouches for the level" in given["notes"]


def test_a_run_that_copies_cannot_bring_there_is_censored_and_says_so() -> None:
    few, many = planted_rows(24, 300, 1e9), planted_rows(256, 5000, 150)
    few["fd_pixels@copies"] = 48.0
    times = family_times(as_family(few, many), n_boot=0)
    assert times["tau_gen_status"].tolist() == ["right", "reached"]
    assert "24 images are too few: resampling them scores 48, and the level is 1.5" in times["notes"][0]
    assert "too few" not in times["notes"][1]
    assert unreachable(measured(), 24, common_level([measured()])) == ""  # nobody knows what copies score
    assert sentence(laws(times), times)


def test_settling_of_a_kernel_distance_is_within_the_interval_of_its_best() -> None:
    reading = tau_gen(measured(), "quality_settles")  # best -0.5, its interval ends at 1.5
    assert reading.value == pytest.approx(400 * 2 ** ((4 - 1.5) / 4.5))
    bare = tau_gen(replace(measured(), quality_low=None, quality_high=None), "quality_settles")
    assert bare.status == "refused"
    assert "no interval" in bare.notes[0]


def test_copies_of_a_kernel_distance_have_the_width_of_its_interval() -> None:
    table = planted_rows(64, 2500, 150).rename(columns=lambda name: name.replace("fd_", "mmd_"))
    value = table["mmd_pixels"] - 1.2
    table = table.assign(mmd_pixels=value, mmd_pixels_low=value - 0.2, mmd_pixels_high=value + 0.2)
    (row,) = family_times(as_family(table), n_boot=400, level=0.3).to_dict("records")
    assert row["tau_gen"] == pytest.approx(150, rel=0.05)
    assert row["tau_gen_low"] < 150 < row["tau_gen_high"]


def test_few_sampler_calls_are_said() -> None:
    rows = pd.DataFrame({f"mmd_pixels@{name}": [value] for name, value in (ENDS | {"sampler": 49.0}).items()})
    note = sampler_note(rows.assign(**{"variance@sampler": 0.71}), "mmd_pixels", 10)
    assert note.startswith("these 10 sampler calls keep 71% of the variance: an exact denoiser of a Gaussian scores ")
    assert "mmd_pixels = 49 with them, and the Gaussian itself 26 (real images 0.5)" in note
    assert sampler_note(rows.assign(**{"variance@sampler": 0.93}), "mmd_pixels", 50) == ""
    assert sampler_note(rows, "mmd_pixels", 10) == ""
