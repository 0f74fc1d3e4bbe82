"""The reader `clock` on planted families: the ratio in steps is the planted one, in weighted time it is 1."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis.studies import clock
from diffmem.analysis.studies.reading import Reading, Request
from diffmem.records import Film, SampleSheet
from tests.helpers.families import planted_rows

RATIO = 2.5
KEYS = ["slow/control.tau_mem.weighted", "slow/control.tau_mem.ratio", "lost/control.tau_mem.weighted"]


class Paces:
    """No pictures; a step of `slow` adds less to weighted time, in the inverse ratio; that of `lost` is not known."""

    def sheet(self, path: Path, step: int) -> SampleSheet | None:
        return None

    def film(self, path: Path) -> Film | None:
        return None

    def same_noise(self, path: Path, steps: Sequence[int]) -> list[SampleSheet]:
        return []

    def pace(self, path: Path) -> float | None:
        return {"slow": 0.2 / RATIO, "control": 0.2}.get(path.parent.stem)


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Reading:
    folder = tmp_path_factory.mktemp("planted")
    places = {}
    for arm, tau in (("control", 1000), ("slow", 1000 * RATIO), ("lost", 1000)):
        seeds = (
            planted_rows(64, tau, 300, seed=seed, rng=np.random.default_rng([int(tau), seed])) for seed in range(4)
        )
        places[arm] = folder / f"{arm}.csv"
        pd.concat(seeds).to_csv(places[arm], index=False)
    return clock.read(Request(places=places, keys=KEYS, images=Paces()))


def test_the_ratio_in_steps_is_the_planted_one(reading: Reading) -> None:
    found = reading.found["slow/control.tau_mem.ratio"]
    assert found.low < RATIO < found.high


def test_in_weighted_time_the_arms_agree(reading: Reading) -> None:
    steps, weighted = (reading.found[key] for key in (KEYS[1], KEYS[0]))
    assert weighted.low < 1 < weighted.high
    assert weighted.ours == pytest.approx(steps.ours / RATIO)
    assert weighted.setting == steps.setting


def test_without_a_pace_nothing_is_said(reading: Reading) -> None:
    lost = reading.found["lost/control.tau_mem.weighted"]
    assert np.isnan(lost.ours)
    assert "the pace of lost is not known" in lost.note


def test_the_table_behind_the_figure_has_the_pace_of_each_run(reading: Reading) -> None:
    paces = reading.picture.data.groupby("arm")["pace"].first()
    assert paces["slow"] == pytest.approx(0.2 / RATIO)
    assert len(reading.picture.figure.axes) == 2
