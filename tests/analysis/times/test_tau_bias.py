"""τ_bias and the onset of f_mem: planted curves, each rule, joint resampling, and tables without p_train."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis.tables.family import read_table
from diffmem.analysis.times.curves import Curve, bias_curves, family_curves, resample
from diffmem.analysis.times.family import family_times, tau_bias
from diffmem.analysis.times.tau_bias import BIAS_DEFINITIONS
from diffmem.errors import InputError
from diffmem.stats.intervals import wilson_mean
from tests.helpers.families import as_family, odds_between, planted_rows, write_run, write_samples

STEPS = [0, 100, 200, 400, 800, 1600]


def bias_curve(share: list[float], error: float = 0.02, null: float = 0.5) -> Curve:
    """A curve of p_train with equal standard errors, and a null of [null - 0.03, null + 0.03]."""
    rows = planted_rows(16, 400, 150, grid=np.array(STEPS))
    ends = np.array([wilson_mean(p, error, 200) for p in share])
    rows = rows.assign(p_train=share, p_train_low=ends[:, 0], p_train_high=ends[:, 1])
    rows = rows.assign(p_train_null=null, p_train_null_low=null - 0.03, p_train_null_high=null + 0.03)
    (made,) = bias_curves(as_family(rows))
    assert made is not None
    return made


def test_planted_times_are_read_off_a_fine_grid() -> None:
    grid = np.unique(np.round(np.geomspace(10, 1e5, 400)).astype(int))
    tables = [planted_rows(n, 30.0 * n, 140, tau_bias=9.0 * n, total=100_000, grid=grid) for n in (16, 64, 256)]
    times = family_times(as_family(*tables), n_boot=0)
    np.testing.assert_allclose(times["tau_bias"], [144, 576, 2304], rtol=3e-3)
    assert set(times["tau_bias_status"]) == {"reached"}


def test_the_level_is_a_fifth_of_the_way_from_the_null_to_one() -> None:
    made = bias_curve([0.5, 0.5, 0.55, 0.65, 0.8, 0.9], null=0.55)
    assert made.total is not None
    size, reading = float(made.total.min()), tau_bias(made)
    expected = odds_between((200, 400), (0.55 * size, 0.65 * size), 0.64 * size, size)
    assert reading.value == pytest.approx(expected, rel=1e-9)
    assert reading.points == (200, 400)


@pytest.mark.parametrize("share", [[0.5] * 6, [0.5, 0.5, 0.5, 0.5, 0.5, 0.61], [0.5, 0.7, 0.5, 0.5, 0.5, 0.5]])
def test_a_share_that_does_not_stay_above_gives_no_number(share: list[float]) -> None:
    reading = tau_bias(bias_curve(share))
    assert (reading.status, reading.last_step) == ("right", 1600)


def test_the_onset_is_where_the_lower_bound_leaves_the_null_for_good() -> None:
    share = [0.5, 0.5, 0.7, 0.5, 0.7, 0.9]
    reading = tau_bias(bias_curve(share), "bias_onset")
    assert reading.points == (400, 800)
    low, before = (wilson_mean(p, 0.02, 200)[0] for p in (0.7, 0.5))
    null_high = bias_curve(share).null
    assert isinstance(null_high, tuple)
    assert reading.value == pytest.approx(400 * 2 ** ((0.53 - before) / (low - before)), rel=1e-3)
    with pytest.raises(InputError, match="'x' is not one of bias_crosses, bias_onset"):
        tau_bias(bias_curve(share), "x")


def test_a_curve_keeps_the_intervals_of_its_rows() -> None:
    """p_train is a share of effective numbers of samples: Wilson's interval of them is that of the rows."""
    share, scatter = [0.0, 0.02, 0.5, 0.9, 0.99, 1.0], 0.01
    curve = bias_curve(share, scatter)
    assert curve.count is not None
    assert curve.total is not None
    np.testing.assert_allclose(curve.count / curve.total, share)
    assert curve.total[2] == pytest.approx(200 * (200 * 0.25 + 1) / (200**2 * scatter**2 + 1))


@pytest.mark.parametrize("definition", BIAS_DEFINITIONS)
def test_intervals_cover(definition: str) -> None:
    exact = family_times(as_family(planted_rows(64, 2500, 170, total=10**6)), n_boot=0, bias=definition)
    rng = np.random.default_rng(0)
    runs = [planted_rows(64, 2500, 170, seed=seed, rng=rng) for seed in range(200)]
    times = family_times(as_family(*runs), 200, bias=definition)
    truth = float(exact["tau_bias"].iloc[0]) if definition == "bias_crosses" else float(times["tau_bias"].median())
    cover = ((times["tau_bias_low"] <= truth) & (truth <= times["tau_bias_high"])).mean()
    assert abs(cover - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 200)


def test_stored_own_is_resampled_with_the_noise_of_f_mem(tmp_path: Path) -> None:
    """A sample that is a copy where it leans: counts of both move together, over steps and runs."""
    base = np.random.default_rng(0).uniform(size=300)
    for n in (16, 64):
        table = planted_rows(n, 10.0 * n, 150, total=300)
        own = np.where(base[None, :] < table["f_mem"].to_numpy()[:, None], 1.0, 0.5)
        ends = np.array([wilson_mean(one.mean(), one.std() / np.sqrt(300), 300) for one in own])
        memorized = own == 1.0
        table = table.assign(p_train=own.mean(axis=1), p_train_low=ends[:, 0], p_train_high=ends[:, 1])
        table = table.assign(f_mem=memorized.mean(axis=1), f_mem_count=memorized.sum(axis=1))
        run = write_run(tmp_path, table)
        for step, values in zip(table["step"], own, strict=True):
            write_samples(run, int(step), np.where(values == 1.0, 0.2, 0.5), np.ones(300), own=values)
    family = read_table(tmp_path)
    curves, biased = family_curves(family), [one for one in bias_curves(family) if one is not None]
    copied, leaning = (resample(family, some, 400, seed=0) for some in (curves, biased))
    at = [int(np.abs(c.count - 150).argmin()) for c in curves if c.count is not None]
    drawn = [d.count[1:, place] for d, place in zip(copied + leaning, at + at, strict=True) if d.count is not None]
    assert np.corrcoef(np.array(drawn)).min() > 0.7
    assert {note for d in leaning for note in d.notes} == set()
    middle = biased[0]
    assert middle.total is not None
    scatter = (drawn[2] / middle.total[at[0]]).std()
    assert scatter == pytest.approx(0.5 * np.sqrt(0.25 / 300), rel=0.15)


def test_the_onset_of_copies_stands_beside_memorization() -> None:
    rows = planted_rows(64, 2500, 170).assign(f_mem_null_count=0.0, f_mem_null_total=500.0)
    (times,) = family_times(as_family(rows), 20).to_dict("records")
    (asked,) = family_times(as_family(rows), 20, mem="fmem_onset").to_dict("records")
    assert times["fmem_onset"] == asked["tau_mem"] < times["tau_mem"]
    assert times["fmem_onset_definition"] == "fmem_onset"


def test_tables_without_p_train_have_no_tau_bias_and_mixed_ones_refuse_where_it_is_absent() -> None:
    old = planted_rows(16, 400, 150)
    old = old.drop(columns=[name for name in old if str(name).startswith("p_train")])
    assert not any(str(name).startswith("tau_bias") for name in family_times(as_family(old), 5))
    times = family_times(as_family(old, planted_rows(32, 800, 150)), 5).set_index("n")
    assert times["tau_bias_status"].to_dict() == {16: "refused", 32: "reached"}
    assert "tau_bias: p_train was not measured" in str(times.loc[16, "notes"])
    partly = planted_rows(16, 4000, 150)
    partly.loc[partly.index[::2], "p_train"] = np.nan
    (curve,) = bias_curves(as_family(partly))
    assert curve is not None
    assert curve.step.tolist() == partly.loc[partly["p_train"].notna(), "step"].tolist()
    bare = pd.DataFrame(partly.drop(columns=["p_train_null_low"]))
    assert family_times(as_family(bare), 5, bias="bias_onset")["tau_bias_status"].tolist() == ["refused"]
