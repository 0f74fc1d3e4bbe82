"""Where in diffusion time the losses part first, on planted gaps whose onsets are known."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import sem
from scipy.stats import t as student

from diffmem.analysis.laws.onset import LEARNED, gaps, loss_times, onsets, run_onsets, slope
from diffmem.analysis.times.family import family_times
from tests.helpers.families import as_family

STEP = np.array([0, *np.rint(np.geomspace(50, 5000, 17))]).astype(int)
ONSETS = {5: 1500.0, 50: 400.0, 100: 420.0, 800: np.inf}


def run(n: int, seed: int, scatter: float, rng: np.random.Generator) -> pd.DataFrame:
    """The gap comes to a tenth of what is learned at ONSETS[t] n / 64, with a scatter of the run and one of its own."""
    table = pd.DataFrame({"run": f"n{n}-s{seed}", "n": n, "width": 16, "seed": seed, "index": seed, "step": STEP})
    whole = np.exp(5 * scatter * rng.standard_normal())
    for t, onset in ONSETS.items():
        time = onset * n / 64 * whole * np.exp(scatter * rng.standard_normal())
        test = np.where(STEP > 0, 0.2, 1.0)
        table[f"loss_test_t{t}"] = test
        table[f"loss_train_t{t}"] = test - 0.8 * 0.1 * (STEP / time if np.isfinite(time) else 0 * STEP)
    return table


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.concat([run(n, seed, 0.1, rng) for n in (64, 128) for seed in (0, 1, 2)], ignore_index=True)


def test_the_onset_of_each_run_is_that_of_the_definitions(rows: pd.DataFrame) -> None:
    assert loss_times(rows) == [5, 50, 100, 800]
    each = run_onsets(gaps(rows)).set_index(["run", "t"])["onset"].to_dict()
    measured = rows.assign(f_mem=0.0, f_mem_count=0, f_mem_total=9, f_mem_null=0.0)
    for t in ONSETS:
        times = family_times(as_family(measured), n_boot=0, mem="loss_gap", loss_t=t).set_index("run")["tau_mem"]
        for name, time in times.items():
            assert each[name, t] == pytest.approx(time) or (np.isnan(time) and each[name, t] == np.inf)


def test_the_table_has_the_planted_onsets_in_its_intervals(rows: pd.DataFrame) -> None:
    for one in onsets(run_onsets(gaps(rows))).to_dict("records"):
        n, t = one["n"], one["t"]
        if t == 800:
            assert np.isnan(one["onset"])
            assert (one["runs"], one["reached"]) == (3, 0)
        else:
            assert one["low"] < ONSETS[t] * n / 64 < one["high"]


def test_the_interval_of_an_onset_is_students_in_its_logarithm(rows: pd.DataFrame) -> None:
    each = run_onsets(gaps(rows))
    for one in onsets(each[each["t"] == 50]).to_dict("records"):
        logs = np.log(each.loc[(each["t"] == 50) & (each["n"] == one["n"]), "onset"])
        low, high = student.interval(0.95, len(logs) - 1, loc=logs.mean(), scale=sem(logs))
        assert [one["onset"], one["low"], one["high"]] == pytest.approx(np.exp([logs.mean(), low, high]))


def test_the_slope_is_the_planted_one(rows: pd.DataFrame) -> None:
    """Within four standard errors, of the runs' own scatter: what a run shifts as a whole is no part of a slope."""
    known = [t for t in ONSETS if np.isfinite(ONSETS[t])]
    true, _ = np.polyfit(np.log(known), np.log([ONSETS[t] for t in known]), 1)
    found = slope(run_onsets(gaps(rows)))
    assert found is not None
    error = 0.1 / np.sqrt(6 * np.var(np.log(known)) * 3)
    assert abs(found.value - true) < 4 * error
    assert found.low < found.value < found.high < 0
    assert found.runs == 6


def test_few_runs_or_times_say_nothing(rows: pd.DataFrame) -> None:
    each = run_onsets(gaps(rows))
    assert slope(each[each["run"] == "n64-s0"]) is None
    both = slope(each[each["run"].isin(["n64-s0", "n64-s1"])])
    assert both is not None
    assert both.runs == 2
    assert slope(each[each["t"] >= 50]) is None
    assert gaps(rows[rows["step"] > 0]).empty


def test_a_time_at_which_nothing_is_learned_is_left_out(rows: pd.DataFrame) -> None:
    little = rows["loss_test_t5"].where(rows["step"] == 0, 1 - LEARNED / 2)
    assert set(gaps(rows.assign(loss_test_t5=little))["t"]) == {50, 100, 800}
