"""The reader `laws` on planted families: true exponents and ratios lie in its intervals."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import sem
from scipy.stats import t as student

from diffmem.analysis.studies import laws
from diffmem.analysis.studies.reading import Reading, Request
from diffmem.pictures import Pictures
from tests.helpers.families import planted_rows

ALPHA, RATIO = 1.2, 2.5


def write_family(path: Path, scale: float, ns: tuple[int, ...] = (32, 64, 128, 256)) -> Path:
    """Runs with tau_mem = scale n^ALPHA and tau_gen = 300, the noise of each from its own seed."""
    rows = [
        planted_rows(n, scale * n**ALPHA, 300, seed=seed, rng=np.random.default_rng([n, seed]))
        for n in ns
        for seed in (0, 1)
    ]
    pd.concat(rows).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Reading:
    folder = tmp_path_factory.mktemp("planted")
    places = {
        "slow": write_family(folder / "slow.csv", 10 * RATIO),
        "control": write_family(folder / "control.csv", 10),
        "short": write_family(folder / "short.csv", 10, (64,)),
    }
    keys = ["control.tau_mem.alpha", "control.tau_gen.alpha", "slow/control.tau_mem.ratio", "short.tau_mem.alpha"]
    return laws.read(Request(places=places, keys=[*keys, "control.tau_mem.beta"], images=Pictures()))


def test_true_values_lie_in_the_intervals(reading: Reading) -> None:
    for key, true in (
        ("control.tau_mem.alpha", ALPHA),
        ("control.tau_gen.alpha", 0),
        ("slow/control.tau_mem.ratio", RATIO),
    ):
        found = reading.found[key]
        assert found.low <= true <= found.high, key
        assert found.high - found.low < 0.5, key


def test_a_ratio_of_two_pairs_is_students(tmp_path: Path) -> None:
    places = {
        arm: write_family(tmp_path / f"{arm}.csv", scale, (64,)) for arm, scale in (("slow", 10 * RATIO), ("fast", 10))
    }
    reading = laws.read(Request(places=places, keys=["slow/fast.tau_mem.ratio"], images=Pictures()))
    found, table = reading.found["slow/fast.tau_mem.ratio"], reading.picture.data
    table = table[table["time"] == "tau_mem"].pivot(index="run", columns="arm", values="tau")
    log_ratio = np.log(table["slow"] / table["fast"])
    low, high = student.interval(0.95, 1, loc=log_ratio.mean(), scale=sem(log_ratio))
    assert [found.ours, found.low, found.high] == pytest.approx(np.exp([log_ratio.mean(), low, high]))


def test_what_is_not_there_is_said(reading: Reading) -> None:
    assert np.isnan(reading.found["short.tau_mem.alpha"].ours)
    assert "no law" in reading.found["short.tau_mem.alpha"].note
    assert np.isnan(reading.found["control.tau_mem.beta"].ours)


def test_the_figure_has_a_row_for_each_run_and_time(reading: Reading) -> None:
    table = reading.picture.data
    assert len(table.drop_duplicates(["arm", "time", "run"])) == len(table) == 8 + 8 + 8 + 2


def test_losses_alone_give_their_times(tmp_path: Path) -> None:
    """A network of one fixed t has no samples: its test loss turns at 10 n."""
    parts = []
    for n in (32, 64, 128, 256):
        rows = planted_rows(n, 300, 100)[["run", "n", "width", "seed", "index", "step"]]
        away = np.abs(np.log(np.maximum(rows["step"], 1)) - np.log(10 * n))
        parts.append(rows.assign(loss_test_t100=0.5 + 0.1 * away, loss_train_t100=0.5 / (1 + rows["step"] / (5 * n))))
    pd.concat(parts).to_csv(tmp_path / "fixed.csv", index=False)
    key = "fixed.tau_mem:overfit_onset@100.alpha"
    found = laws.read(Request(places={"fixed": tmp_path / "fixed.csv"}, keys=[key], images=Pictures())).found[key]
    assert found.ours == pytest.approx(1, abs=0.15)  # the minimum lies on the grid of checkpoints
