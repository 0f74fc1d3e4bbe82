"""The readers on planted families: widths, thresholds, capacity, learning curves, samples; what is planted is found."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from diffmem.analysis.studies import registry
from diffmem.analysis.studies.joined import joined
from diffmem.analysis.studies.reading import Reading, Request
from diffmem.errors import InputError
from diffmem.pictures import Pictures
from tests.helpers.families import planted_rows, planted_share

ALPHA, BETA = 1.1, -1.0
SHIFT = {"0.2000": 1.6, "0.2500": 1.3, "0.3333": 1.0, "0.5000": 0.6}  # tau_mem(k) / tau_mem(1/3)


def rows(n: int, width: int = 16, seed: int = 0, tau_mem: float | None = None) -> pd.DataFrame:
    """A planted run: tau_mem = 15 n^ALPHA (W/16)^BETA unless given, tau_gen = 300 (W/16)^BETA."""
    scale = (width / 16) ** BETA
    tau = 15 * n**ALPHA * scale if tau_mem is None else tau_mem
    rng = np.random.default_rng([n, width, seed])
    return planted_rows(n, tau, 300 * scale, seed=seed, width=width, rng=rng)


def read(reader: str, keys: list[str], **tables: list[pd.DataFrame]) -> Reading:
    """What `reader` says of the arms `tables`, each written as a csv into the working directory."""
    for arm, parts in tables.items():
        pd.concat(parts).to_csv(f"{arm}.csv", index=False)
    places = {arm: Path(f"{arm}.csv") for arm in tables}
    return registry.read(reader, Request(places=places, keys=keys, images=Pictures()))


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_widths_in_arms_of_their_own_are_one_family() -> None:
    arms = {f"w{width}": [rows(n, width, seed) for n in (64, 128, 256) for seed in (0, 1)] for width in (8, 16, 32)}
    reading = read("widths", ["tau_gen.beta", "tau_mem.beta", "tau_mem.alpha"], **arms)
    for key, true in (("tau_gen.beta", BETA), ("tau_mem.beta", BETA), ("tau_mem.alpha", ALPHA)):
        found = reading.found[key]
        assert found.low <= true <= found.high, key
        assert abs(found.ours - true) < 0.1, key
    assert set(reading.picture.data["width"]) == {8, 16, 32}


def test_a_run_in_two_arms_counts_once() -> None:
    for arm in ("a", "b"):
        rows(64).to_csv(f"{arm}.csv", index=False)
    family = joined({arm: Path(f"{arm}.csv") for arm in ("a", "b")})
    assert len(family.runs) == 1
    assert not family.rows.duplicated("step").any()


def test_thresholds_move_the_time_and_not_its_exponent() -> None:
    def with_thresholds(n: int, seed: int) -> pd.DataFrame:
        table = rows(n, seed=seed)
        for k, shift in SHIFT.items():
            share = planted_share(table["step"].to_numpy(), shift * 15 * n**ALPHA)
            count = np.random.default_rng([n, seed]).binomial(500, share)
            table[f"f_mem_k{k}"] = count / 500
            if k == "0.3333":
                table["f_mem_count"], table["f_mem"] = count, count / 500
        return table

    keys = ["0.2.difference", "0.5.difference", "0.2.ratio", "0.5.ratio", "0.5.alpha"]
    reading = read("thresholds", keys, runs=[with_thresholds(n, seed) for n in (32, 64, 128) for seed in (0, 1)])
    for key, true in zip(keys, (0, 0, SHIFT["0.2000"], SHIFT["0.5000"], ALPHA), strict=True):
        found = reading.found[key]
        assert found.low - 0.02 <= true <= found.high + 0.02, key
        assert abs(found.ours - true) < 0.15, key
    assert set(reading.picture.data["k"]) == {float(k) for k in SHIFT}
    times = reading.picture.data.pivot(index=["n", "run"], columns="k", values="tau_mem")
    x, y = np.log(times.index.get_level_values("n").to_numpy(float)), np.log((times[0.5] / times[0.3333]).to_numpy())
    design = np.stack([np.ones_like(x), x], axis=1)
    best, (rest,), *_ = np.linalg.lstsq(design, y, rcond=None)
    half = student.ppf(0.975, len(x) - 2) * np.sqrt(rest / (len(x) - 2) * np.linalg.inv(design.T @ design)[1, 1])
    found = reading.found["0.5.difference"]
    assert [found.ours, found.low, found.high] == pytest.approx([best[1], best[1] - half, best[1] + half])


def test_thresholds_need_their_columns() -> None:
    with pytest.raises(InputError, match="f_mem_k<k>"):
        read("thresholds", [], runs=[rows(64)])


def test_capacity_lies_between_what_is_memorized_and_what_is_not() -> None:
    never = math.inf
    narrow = [rows(n, 8, tau_mem=tau) for n, tau in ((32, 300), (64, 900), (128, never), (256, never))]
    wide = [rows(n, 16, tau_mem=tau) for n, tau in ((32, 200), (64, 500), (128, 900), (256, 2000))]
    reading = read("capacity", ["8.n_star", "16.n_star", "32.n_star"], narrow=narrow, wide=wide)
    found = reading.found["8.n_star"]
    assert 64 <= found.low <= found.ours <= found.high <= 128
    assert "n* is >= 256" in reading.found["16.n_star"].note
    assert "no runs of W = 32" in reading.found["32.n_star"].note


def test_capacity_without_any_time_is_said() -> None:
    reading = read("capacity", ["16.n_star"], only=[rows(n, tau_mem=math.inf) for n in (32, 64, 128)])
    assert np.isnan(reading.found["16.n_star"].ours)


def test_capacity_needs_two_n() -> None:
    with pytest.raises(InputError, match=r"data\.n=64 alone"):
        read("capacity", ["16.n_star"], only=[rows(64)])


def test_learning_reads_laws_and_draws_one_table() -> None:
    tables = [rows(n).assign(loss_train_t20=0.5, loss_test_t20=0.6) for n in (32, 64, 128, 256)]
    reading = read("learning", ["one.tau_mem.alpha"], one=tables)
    assert reading.found["one.tau_mem.alpha"].low <= ALPHA <= reading.found["one.tau_mem.alpha"].high
    assert {"loss_train", "loss_test", "f_mem", "quality"} <= set(reading.picture.data)
    assert len(reading.picture.data) == sum(map(len, tables))
    against, per_image = ([np.max(line.get_xdata()) for line in axes.lines] for axes in reading.picture.figure.axes[:2])
    last = tables[0]["step"].max()
    assert set(against) == {last}
    assert set(per_image) == {last / n for n in (32, 64, 128, 256)}


def test_samples_are_shown_of_runs_alone() -> None:
    with pytest.raises(InputError, match="is a table, and samples are shown of runs alone"):
        read("samples", ["end"], one=[rows(64)])
