"""The reader `interventions` on planted arms, as csv files that a study was told to read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis.studies import interventions
from diffmem.analysis.studies.reading import Reading, Request
from diffmem.pictures import Pictures
from tests.helpers.families import planted_rows


def write_arm(path: Path, tau_bias: float, seeds: tuple[int, ...] = (0, 1, 2), tau_gen: float = 300) -> Path:
    rng = np.random.default_rng(int(tau_bias))
    rows = [planted_rows(128, 20_000, tau_gen, seed=seed, tau_bias=tau_bias, rng=rng, total=4000) for seed in seeds]
    pd.concat(rows).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Reading:
    folder = tmp_path_factory.mktemp("arms")
    arms = {"control": 1000.0, "placebo": 1001.0, "wide": 3000.0, "never": 1e6}
    places = {arm: write_arm(folder / f"{arm}.csv", tau) for arm, tau in arms.items()}
    places["apart"] = write_arm(folder / "apart.csv", 1000.0, (7,))
    places["late"] = write_arm(folder / "late.csv", 1000.0, tau_gen=1e6)
    keys = ["placebo.window", "late.window", "wide.window", "wide.p_train", "never.window", "apart.window", "wide.gap"]
    return interventions.read(Request(places=places, keys=keys, images=Pictures()))


def test_a_time_is_given_as_a_ratio_and_its_note_says_how_sure_it_is(reading: Reading) -> None:
    wide = reading.found["wide.window"]
    assert wide.low < 3 < wide.high
    assert wide.high / wide.low < 1.6
    assert wide.note.startswith("p = ")
    assert wide.note.endswith("after Holm's correction.")
    assert wide.setting == "n128, W = 16, n = 128, 3 pairs"
    assert reading.found["wide.p_train"].high < 0
    placebo = reading.found["placebo.window"]
    assert placebo.low < 1 < placebo.high
    assert placebo.note.endswith("nothing was changed.")


def test_what_is_not_known_says_why(reading: Reading) -> None:
    for key, words in (
        ("never.window", "at least "),
        ("late.window", "tau_gen is at least "),
        ("apart.window", "no run of apart has one of the control beside it"),
        ("wide.gap", "fewer than two pairs of runs have it"),
    ):
        assert np.isnan(reading.found[key].ours)
        assert words in reading.found[key].note


def test_the_figure_has_every_arm_and_estimand(reading: Reading) -> None:
    assert {*reading.picture.data["arm"]} == {"placebo", "wide", "never", "late"}
    assert reading.picture.data.groupby("arm")["estimand"].nunique().eq(6).all()
