"""Times of planted curves, each rule of their definitions, and intervals that cover."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis.tables.family import read_table
from diffmem.analysis.times.curves import Curve, family_curves, resample
from diffmem.analysis.times.family import family_times, tau_gen, tau_mem
from diffmem.analysis.times.level import Level
from diffmem.analysis.times.timescale import Status, Timescale
from diffmem.errors import InputError
from diffmem.stats.intervals import wilson
from tests.helpers.families import GRID, as_family, curve, odds_between, planted_rows, write_run, write_samples

STEPS = [0, 100, 200, 400, 800, 1600]


def time(status: Status = "reached", value: float = 1000.0) -> Timescale:
    copies = {"reached": value, "right": np.inf, "left": -np.inf, "refused": np.inf}[status]
    return Timescale(
        definition="fmem_crosses",
        status=status,
        value=value if status == "reached" else np.nan,
        last_step=1600.0,
        bound=1600.0,
        copies=np.array([copies]),
    )


def test_planted_times_are_read_off_a_fine_grid() -> None:
    grid = np.unique(np.round(np.geomspace(10, 1e5, 400)).astype(int))
    tables = [planted_rows(n, 30.0 * n, 140, total=100_000, grid=grid) for n in (16, 64, 256)]
    times = family_times(as_family(*tables), n_boot=0)
    np.testing.assert_allclose(times["tau_mem"], [480, 1920, 7680], rtol=3e-3)
    assert (
        times["level"].tolist() == [1.5] * 3
    )  # half way in log from the best trivial generator, 2.25, to the floor, 1
    assert set(times["level_set_by"]) == {"gaussian"}
    np.testing.assert_allclose(times["tau_gen"], 140, rtol=3e-3)


def test_the_level_rises_with_the_null() -> None:
    reading = tau_mem(curve(STEPS, [20, 24, 28, 40, 90, 190], null=(20.0, 100.0)))
    level = 0.2 + 0.05 * 0.8  # 48 of 200
    assert reading.value == pytest.approx(odds_between((400, 800), (40, 90), 200 * level))
    assert reading.points == (400, 800)


def test_a_run_just_below_surely_above_the_level_is_not_reached() -> None:
    level, total = 0.05, 400
    sure = level + 1.959964 * np.sqrt(level * (1 - level) / total)
    below, above = int(np.floor(sure * total)), int(np.ceil(sure * total))
    steps, start = [100, 200, 400, 800], [0, 2, 8]
    assert tau_mem(curve(steps, [*start, above], total)).status == "reached"
    for last in (8, below):
        reading = tau_mem(curve(steps, [*start, last], total))
        assert (reading.status, reading.last_step) == ("right", 800.0)
        assert reading.bound == pytest.approx(400 * 2 ** ((level - 8 / total) / (sure - 8 / total)))
    assert tau_mem(curve(steps, [0, 0, 30, 60], total)).bound == 800.0


@pytest.mark.parametrize("steep", [3.0, 4.5])
@pytest.mark.parametrize("per_decade", [8, 12])
def test_at_its_bound_a_run_is_as_likely_to_be_read_as_reached_as_not(steep: float, per_decade: int) -> None:
    """Of curves whose log odds grow by `steep` with log τ, that pass 1/20 near the last step."""
    rng = np.random.default_rng(per_decade)
    step = np.array(sorted({round(20 * 10 ** (j / per_decade)) for j in range(2 * per_decade + 1)}))

    def read(tau: float) -> Timescale:
        share = 1 / (1 + 19 * np.exp(-steep * np.log(step / tau)))
        return tau_mem(curve(step.tolist(), rng.binomial(400, share).tolist(), 400, null=0.0))

    near = [read(step[-1] * np.exp(shift)) for shift in rng.uniform(-0.3, 0.3, 100)]
    bound = float(np.median([reading.bound for reading in near if reading.status == "right"]))
    assert 0.2 < np.mean([read(bound).status == "reached" for _ in range(100)]) < 0.8


def test_a_null_above_a_half_refuses() -> None:
    reading = tau_mem(curve(STEPS, [150] * 6, null=0.51))
    assert (reading.status, reading.notes[0][:8]) == ("refused", "the null")
    assert np.isnan([reading.value, reading.low, reading.high]).all()
    assert tau_mem(curve(STEPS, [100] * 5 + [200], null=0.5)).status != "refused"


@pytest.mark.parametrize("count", [[0] * 6, [0, 0, 0, 0, 0, 9], [0, 30, 0, 0, 0, 0], [0, 0, 0, 0, 12, 0]])
def test_a_curve_that_does_not_stay_above_gives_no_number(count: list[int]) -> None:
    reading = tau_mem(curve(STEPS, count))
    assert (reading.status, reading.last_step) == ("right", 1600)
    assert np.isnan([reading.value, reading.low, reading.high]).all()


def test_one_point_above_counts_when_its_wilson_bound_is_above() -> None:
    enough = next(count for count in range(10, 200) if wilson(count, 200)[0] > 0.05)
    assert tau_mem(curve(STEPS, [0, 0, 0, 0, 0, enough])).status == "reached"
    almost = tau_mem(curve(STEPS, [0, 0, 0, 0, 0, enough - 1]))
    assert almost.status == "right"
    assert "not surely" in almost.notes[0]
    assert tau_mem(curve(STEPS, [0, 0, 0, 0, enough - 1, enough - 1])).status == "reached"


def test_true_at_the_first_point_is_left_censored() -> None:
    reading = tau_mem(curve(STEPS[1:], [50, 60, 70, 80, 90]))
    assert (reading.status, reading.last_step) == ("left", 100)
    at_zero = tau_mem(curve(STEPS, [50, 60, 70, 80, 90, 100]))
    assert (at_zero.status, at_zero.last_step) == ("left", 100)
    assert "before any training" in at_zero.notes[0]
    assert np.isnan([reading.value, reading.low, reading.high]).all()


def test_dips_beyond_four_standard_errors_are_flagged() -> None:
    assert tau_mem(curve(STEPS, [0, 0, 40, 30, 60, 120])).notes == ()
    (note,) = tau_mem(curve(STEPS, [0, 0, 80, 20, 60, 120])).notes
    assert "from 0.400 at step 200 to 0.100 at step 400, 6.9 standard errors" in note


@pytest.mark.parametrize("read", ["mem", "gen"])
def test_unknown_definitions_are_named(read: str) -> None:
    one = curve(STEPS, [0] * 6, quality=[9, 5, 2, 1, 1, 1])
    level = Level(1.5)
    with pytest.raises(InputError, match=f"tau_{read} definition 'x' is not one of"):
        tau_mem(one, "x") if read == "mem" else tau_gen(one, "x", level=level)


def quality(value: list[float], spread: float = 0.1) -> dict[str, Any]:
    y = np.array(value)
    return {"quality": y, "quality_low": y * (1 - spread), "quality_high": y * (1 + spread)}


def named(run: str, value: list[float], spread: float = 0.1) -> Curve:
    made = curve(STEPS, [0] * 6, **quality(value, spread))
    return Curve(**{**made.__dict__, "run": run})


@pytest.mark.parametrize(
    ("value", "until", "status", "points"),
    [
        ([9, 5, 2, 1.4, 1, 1], "right", "reached", (200, 400)),
        ([9, 5, 1.4, 1.6, 1, 1], "right", "reached", (100, 200)),  # its lower bound, 1.44, is within the level
        ([9, 5, 1.4, 1.7, 1, 1], "right", "reached", (400, 800)),  # 1.53 is above: it breaks
        ([9, 5, 1.4, 1.0, 1, 9], "right", "right", ()),
        ([9, 5, 1.4, 1.0, 9, 9], "reached", "reached", (100, 200)),  # broken after tau_mem only
        ([9, 5, 1.4, 1.0, 9, 9], "left", "right", ()),
        ([9, 5, 4, 3, 1, 1], "reached", "right", ()),  # reached after tau_mem only
        ([1, 1, 1, 1, 1, 1], "right", "left", ()),
    ],
)
def test_quality_reaches_its_level_and_stays_up_to_memorization(
    value: list[float], until: Status, status: str, points: tuple[int, ...]
) -> None:
    reading = tau_gen(named("run", value), level=1.5, memorization=time(until, 600))
    assert reading.status == status
    if status == "reached":
        assert reading.points == points
        assert points[0] < reading.value < points[1]
    else:
        assert np.isnan(reading.value)
    if status == "right":
        assert reading.last_step == (400 if until == "reached" else 1600)


def test_a_family_whose_curves_never_cross_has_no_number() -> None:
    tables = [planted_rows(n, 1e7, 3e5, rng=np.random.default_rng(n)) for n in (16, 64)]
    times = family_times(as_family(*tables), n_boot=50)
    numbers = times[["tau_mem", "tau_mem_low", "tau_mem_high", "tau_gen", "tau_gen_low", "tau_gen_high"]]
    assert numbers.isna().all(axis=None)
    assert set(times["tau_mem_status"]) == {"right"}
    assert times["tau_mem_last_step"].tolist() == [GRID[-1]] * 2


def test_intervals_of_both_times_cover() -> None:
    """Binomial counts and log-normal quality around planted curves; the truth is the planted curve on the same grid."""
    (exact,) = family_times(as_family(planted_rows(64, 2500, 170, total=10**6)), n_boot=0, level=1.5).to_dict("records")
    rng = np.random.default_rng(0)
    times = family_times(as_family(*(planted_rows(64, 2500, 170, seed=s, rng=rng) for s in range(200))), 200, level=1.5)
    for name in ("tau_mem", "tau_gen"):
        cover = ((times[f"{name}_low"] <= exact[name]) & (exact[name] <= times[f"{name}_high"])).mean()
        assert abs(cover - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 200), (name, cover)


def test_stored_ratios_are_resampled_jointly_over_runs_and_steps(tmp_path: Path) -> None:
    ratio = np.random.default_rng(0).uniform(size=300)
    for n in (16, 64):
        table = planted_rows(n, 10.0 * n, 150, total=300)
        shares = table["f_mem_count"].to_numpy() / 300
        run = write_run(tmp_path, table)
        for share, step in zip(shares, table["step"], strict=True):
            d1 = np.where(np.argsort(np.argsort(ratio)) < round(share * 300), 0.2, 0.5)
            write_samples(run, int(step), d1, np.ones(300))
    paired = read_table(tmp_path)
    curves = family_curves(paired)
    drawn = resample(paired, curves, 400, seed=0)
    same = [int(np.flatnonzero(np.abs(c.count - 150) < 40)[0]) for c in curves if c.count is not None]
    first, second = (d.count[1:, at] for d, at in zip(drawn, same, strict=True) if d.count is not None)
    assert np.corrcoef(first, second)[0, 1] > 0.7  # the same samples are memorized: the counts move together
    assert first.std() == pytest.approx(np.sqrt(300 * 0.5 * 0.5), rel=0.15)
    loose = resample(as_family(paired.rows), curves, 400, seed=0)
    first, second = (d.count[1:, at] for d, at in zip(loose, same, strict=True) if d.count is not None)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.2


def test_copies_have_the_width_of_their_intervals_and_differ_between_runs() -> None:
    table = planted_rows(16, 160, 150, error=0.05)
    table["fd_pixels_low"] = np.where(table["step"] > 1000, -0.1, table["fd_pixels_low"])
    both = as_family(table, table.assign(run="twin"))
    first, second = resample(both, family_curves(both), 4000, seed=0)
    for drawn in (first.quality, second.quality):
        assert drawn is not None
        spread = np.log(drawn[1:]).std(axis=0)
        assert (spread > 0.05 * (1 - 4 / np.sqrt(8000))).all()
        assert (spread < 0.06).all()  # the curve bends, which is taken for a little jitter
    middle = int(np.flatnonzero(table["f_mem"].between(0.3, 0.7))[0])
    for name in ("count", "quality"):
        one, other = (getattr(drawn, name)[1:, middle] for drawn in (first, second))
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(4000)


def test_samples_that_are_not_those_of_the_row_are_not_used(tmp_path: Path) -> None:
    table = planted_rows(16, 160, 150)
    run = write_run(tmp_path, table)
    write_samples(run, int(table["step"][9]), np.ones(500), np.full(500, 2.0))
    (note,) = set(family_times(read_table(tmp_path), n_boot=20)["notes"])
    assert f"stored at step {table['step'][9]} are not those of its row" in note


def test_the_same_seed_gives_the_same_table_whatever_other_runs_there_are() -> None:
    tables = [planted_rows(n, 40.0 * n, 170, rng=np.random.default_rng(n)) for n in (64, 256)]
    both, alone = (family_times(as_family(*some), n_boot=50, seed=4) for some in (tables, tables[1:]))
    again = family_times(as_family(*tables), n_boot=50, seed=4)
    pd.testing.assert_frame_equal(both, again)
    columns = ["tau_mem", "tau_mem_low", "tau_mem_high"]
    assert both[columns].iloc[1].tolist() == alone[columns].iloc[0].tolist()


@pytest.mark.parametrize("name", ["f_mem_total", "f_mem_null"])
def test_f_mem_without_its_error_or_null_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"lacks the column {name}"):
        family_times(as_family(planted_rows(16, 160, 150).drop(columns=name)), n_boot=0)


def test_a_family_without_f_mem_says_so() -> None:
    table = planted_rows(16, 160, 150)
    losses = table[["run", "n", "width", "seed", "index", "step"]].assign(loss_test_t50=1.0)
    with pytest.raises(InputError, match="n16-w16-s0 has no f_mem"):
        family_times(as_family(losses), n_boot=0)


def test_quality_must_be_one_and_positive() -> None:
    table = planted_rows(16, 900, 150)
    with pytest.raises(InputError, match="choose quality=fd_pixels or quality=fd_pca64"):
        family_times(as_family(table.assign(fd_pca64=1.0)), n_boot=0)
    assert set(family_times(as_family(table.assign(fd_pca64=1.0)), n_boot=0, quality="fd_pixels")["quality"]) == {
        "fd_pixels"
    }
    with pytest.raises(InputError, match="quality=fid is no column"):
        family_times(as_family(table), quality="fid")
    with pytest.raises(InputError, match="quality=f_mem is no column"):
        family_times(as_family(table), quality="f_mem")
    with pytest.raises(InputError, match="level=-1"):
        family_times(as_family(table), n_boot=0, level=-1)
    table.loc[3, "fd_pixels"] = 0.0
    with pytest.raises(InputError, match="not positive at step 89"):
        family_times(as_family(table), n_boot=0)


def test_without_quality_tau_mem_stands_alone() -> None:
    table = planted_rows(16, 900, 150)
    table = table[[name for name in table if not str(name).startswith("fd_")]]
    times = family_times(as_family(table), n_boot=0)
    assert times["tau_mem_status"].tolist() == ["reached"]
    assert times["tau_gen_status"].tolist() == ["refused"]
