"""Every definition of τ_mem and τ_gen on curves whose time is known by hand."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis.tables.family import Family
from diffmem.analysis.times.curves import Curve, family_curves, loss_time, resample
from diffmem.analysis.times.family import family_times, tau_gen, tau_mem
from diffmem.analysis.times.level import Level
from diffmem.analysis.times.rising import wilson_bound
from diffmem.analysis.times.tau_gen import GEN_DEFINITIONS
from diffmem.analysis.times.tau_mem import MEM_DEFINITIONS
from diffmem.analysis.times.timescale import never, read_off
from diffmem.definitions import GEN_WORDS, MEM_WORDS, onset
from diffmem.errors import InputError
from diffmem.stats.intervals import wilson
from tests.helpers.families import as_family, curve, odds_between, planted_rows, planted_share
from tests.helpers.planted_curves import Planted, draw

STEPS = [0, 100, 200, 400, 800, 1600]
NEVER = never(curve(STEPS, [0] * 6), 0)
NO_LEVEL = Level(np.nan)


def half_way(step: int, y0: float, y1: float, at: float) -> float:
    """Between `step` and its double, linearly in log step."""
    return float(step * 2 ** ((at - y0) / (y1 - y0)))


def with_losses(train: list[float], test: list[float]) -> Curve:
    arrays: dict[str, Any] = {"loss_train": np.array(train), "loss_test": np.array(test), "loss_t": 20}
    return curve(STEPS, [0] * 6, **arrays)


def test_wilson_bounds_are_those_of_wilson() -> None:
    for count in (0, 1, 40, 199, 200):
        bounds = [float(wilson_bound(np.array(float(count)), 200.0, above=above)) for above in (False, True)]
        assert bounds == pytest.approx(wilson(count, 200), abs=1e-15)


def test_onset_is_where_wilson_intervals_part() -> None:
    counts = [0, 2, 4, 20, 90, 190]
    reading = tau_mem(curve(STEPS, counts, null=(2.0, 500.0)), "fmem_onset")
    upper = wilson(2, 500)[1]
    lows = [wilson(count, 200)[0] for count in counts]
    place = next(i for i, low in enumerate(lows) if onset(low, upper))
    assert reading.points == (STEPS[place - 1], STEPS[place])
    assert reading.value == pytest.approx(half_way(STEPS[place - 1], lows[place - 1], lows[place], upper))
    assert tau_mem(curve(STEPS, [0, 1, 0, 1, 0, 1], null=(2.0, 500.0)), "fmem_onset").status == "right"
    assert tau_mem(curve(STEPS, counts, null=0.01), "fmem_onset").status == "refused"


def test_every_definition_has_its_words_and_no_other() -> None:
    assert list(MEM_WORDS) == list(MEM_DEFINITIONS)
    assert list(GEN_WORDS) == list(GEN_DEFINITIONS)


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        ([0, 0, 0, 60, 158, 162], "reached"),  # half of the plateau 0.8 is 80 of 200
        ([0, 0, 0, 10, 80, 160], "right"),  # still rising
        ([0, 0, 0, 0, 1, 1], "right"),  # flat, but at the null
        ([150, 150, 151, 158, 158, 162], "left"),
    ],
)
def test_half_needs_a_plateau(counts: list[float], status: str) -> None:
    reading = tau_mem(curve(STEPS, counts), "fmem_half")
    assert reading.status == status
    if status == "reached":
        assert reading.value == pytest.approx(odds_between((400, 800), (60, 158), 80))
    else:
        assert np.isnan(reading.value)


def test_without_a_plateau_half_of_it_comes_after_half_of_what_is_surely_there() -> None:
    reading = tau_mem(curve(STEPS, [0, 0, 0, 10, 80, 160]), "fmem_half")
    lowest = 200 * wilson(160, 200)[0] / 2
    assert reading.bound == reading.last_step == pytest.approx(odds_between((400, 800), (10, 80), lowest))
    assert tau_mem(curve(STEPS, [0, 0, 0, 0, 1, 1]), "fmem_half").bound == STEPS[-1]


def test_bounds_of_half_without_a_plateau_hold() -> None:
    """Planted curves that end anywhere on their rise: the bound exceeds the true time in few, the last step in many."""
    kind, rng = Planted(shared=True), np.random.default_rng(0)
    beyond = []
    for _ in range(100):
        whole, _, tau = draw(kind, rng)
        half = tau * 19**kind.width  # from odds of 1/19 at tau to even odds
        points = np.searchsorted(whole.step, tau * np.exp(kind.width * rng.uniform(2, 6)))
        assert whole.count is not None
        reading = tau_mem(curve(list(whole.step[:points]), list(whole.count[:points]), kind.samples), "fmem_half")
        if reading.status == "right":
            beyond.append((reading.bound > half, whole.step[points - 1] > half))
    assert len(beyond) > 80
    bound, last = np.mean(beyond, axis=0)
    assert bound < 0.025 + 4 * np.sqrt(0.025 / len(beyond))
    assert last > 0.5


@pytest.mark.parametrize("definition", ["fmem_crosses", "fmem_onset", "fmem_half"])
def test_a_spike_that_is_undone_is_not_reached(definition: str) -> None:
    spike = curve(STEPS, [0, 60, 0, 0, 0, 0], null=(0.0, 500.0))
    assert tau_mem(spike, definition).status == "right"
    risen = curve([*STEPS, 3200, 6400], [0, 60, 0, 0, 0, 0, 150, 152], null=(0.0, 500.0))
    assert tau_mem(risen, definition).points == (1600, 3200)
    assert tau_mem(curve(STEPS, [0, 60, 45, 62, 58, 61], null=(0.0, 500.0)), definition).points == (0, 100)


def test_the_loss_gap_opens_at_a_tenth_of_what_was_learned() -> None:
    test = [1.0, 0.5, 0.3, 0.2, 0.25, 0.5]
    reading = tau_mem(with_losses([1.0, 0.5, 0.29, 0.16, 0.05, 0.01], test), "loss_gap")
    assert reading.value == pytest.approx(half_way(400, 0.04, 0.20, 0.08))
    assert reading.points == (400, 800)
    assert np.isnan([reading.low, reading.high]).all()
    assert tau_mem(with_losses(test, test), "loss_gap").status == "right"


def test_overfitting_begins_where_the_test_loss_is_least() -> None:
    train = [1.0, 0.5, 0.3, 0.2, 0.1, 0.05]
    reading = tau_mem(with_losses(train, [1.0, 0.5, 0.3, 0.2, 0.25, 0.5]), "overfit_onset")
    assert (reading.value, reading.points) == (400, (400,))
    assert tau_mem(with_losses(train, train), "overfit_onset").status == "right"
    assert tau_mem(with_losses(train, sorted(train)), "overfit_onset").status == "left"


def test_the_test_loss_reaches_a_tenth_above_its_best() -> None:
    reading = tau_gen(
        with_losses([0.0] * 6, [1.2, 0.6, 0.4, 0.2, 0.3, 0.5]), "loss_reaches", level=NO_LEVEL, memorization=NEVER
    )
    assert reading.value == pytest.approx(half_way(200, 0.4, 0.2, 0.3))
    short = curve(STEPS[1:], [0] * 5, loss_train=[0.0] * 5, loss_test=[0.6, 0.4, 0.2, 0.3, 0.5])
    assert tau_gen(short, "loss_reaches", level=NO_LEVEL, memorization=NEVER).status == "refused"


def test_quality_settles_near_the_runs_own_best_before_memorization() -> None:
    value = np.array([9.0, 4.0, 2.0, 1.0, 1.04, 0.5])
    one = curve(STEPS, [0] * 6, quality=value, quality_low=0.99 * value, quality_high=1.01 * value)
    memorized = read_off("fmem_crosses", np.array([1000.0]), 5, np.array(STEPS))
    reading = tau_gen(one, "quality_settles", level=NO_LEVEL, memorization=memorized)
    assert reading.value == pytest.approx(half_way(200, 2.0, 1.0, 1.05))
    assert tau_gen(one, "quality_settles", level=NO_LEVEL, memorization=NEVER).points == (800, 1600)
    best = tau_gen(one, "quality_argmin", level=NO_LEVEL, memorization=memorized)
    assert (best.value, best.points) == (400, (400,))
    assert (
        tau_gen(one, "quality_argmin", level=NO_LEVEL, memorization=NEVER).status == "right"
    )  # still falling at the end


@pytest.mark.parametrize("mem", MEM_DEFINITIONS)
@pytest.mark.parametrize("gen", GEN_DEFINITIONS)
def test_every_pair_of_definitions_gives_a_table_in_any_unit_of_the_step(mem: str, gen: str) -> None:
    tables = [planted_rows(n, 30.0 * n, 150, total=500, rng=np.random.default_rng(n)) for n in (16, 32)]
    rows = pd.concat(tables, ignore_index=True).assign(f_mem_null_count=2.0, f_mem_null_total=500.0, f_mem_null=0.004)
    learned = 1 / (1 + rows["step"] / 100)
    rows["loss_train_t20"] = 0.98 * learned
    rows["loss_test_t20"] = learned + 0.2 * rows["f_mem"]
    rows["R_t20"], rows["R2_t20"] = 0.1 + learned, 0.5 - rows["f_mem"]
    times = [family_times(as_family(rows.assign(step=scale * rows["step"])), 20, mem=mem, gen=gen) for scale in (1, 10)]
    for name, definition in (("tau_mem", mem), ("tau_gen", gen)):
        assert set(times[0][f"{name}_definition"]) == {definition}
        assert times[0][f"{name}_status"].tolist() == times[1][f"{name}_status"].tolist()
        np.testing.assert_allclose(10 * times[0][name], times[1][name], rtol=1e-9)
    assert (times[0]["tau_mem_status"] == "reached").all()


@pytest.mark.slow
def test_intervals_of_the_onset_cover_that_of_a_curve_without_noise() -> None:
    kind, rng = Planted(shared=True, stored=True), np.random.default_rng(0)
    covers = []
    for seed in range(100):
        noisy, stored, tau = draw(kind, rng)
        exact = replace(noisy, count=kind.samples * planted_share(noisy.step, tau))
        (drawn,) = resample(cast(Family, stored), [noisy], 200, seed)
        reading, truth = tau_mem(noisy, "fmem_onset", drawn), tau_mem(exact, "fmem_onset").value
        covers.append(reading.low <= truth <= reading.high)
    assert np.mean(covers) > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 100)


def test_losses_are_read_at_the_smallest_time_or_the_one_asked_for() -> None:
    rows = pd.DataFrame({f"loss_{kind}_t{t}": [1.0] for kind in ("train", "test") for t in (300, 20, 100)})
    assert loss_time(rows) == 20
    assert loss_time(rows, 100) == 100
    assert loss_time(rows.drop(columns="loss_train_t20")) == 100
    with pytest.raises(InputError, match="loss_t=50: the table has no losses at that diffusion time; it has 20, 100"):
        loss_time(rows, 50)


def test_a_definition_that_reads_losses_names_what_is_missing() -> None:
    (one,) = family_curves(as_family(planted_rows(16, 400, 150)))
    assert resample(as_family(planted_rows(16, 400, 150)), [one], 3, 0)[0].n_boot == 3
    with pytest.raises(InputError, match="loss_train_t<t> and loss_test_t<t>"):
        tau_mem(one, "loss_gap")
    with pytest.raises(InputError, match="'fid' is not one of fmem_crosses, fmem_onset"):
        tau_mem(one, "fid")
    with pytest.raises(InputError, match="'fid' is not one of quality_reaches"):
        tau_gen(one, "fid", level=NO_LEVEL, memorization=NEVER)


def test_one_run_alone_has_its_own_level_and_its_own_end() -> None:
    (one,) = family_curves(as_family(planted_rows(64, 2500, 150)))
    alone = tau_gen(one)
    (whole,) = family_times(as_family(planted_rows(64, 2500, 150)), n_boot=0).to_dict("records")
    assert (alone.value, alone.status) == (whole["tau_gen"], "reached")
    assert tau_gen(one, level=whole["level"]).value == alone.value
    assert tau_gen(one, level=1e-3).status == "right"
    bare = curve(STEPS, [0] * 6, quality=np.array([9.0, 4.0, 2.0, 1.0, 1.0, 1.0]))
    bare = replace(bare, count=None, total=None)
    assert tau_gen(bare, level=1.5).value == pytest.approx(half_way(200, 2.0, 1.0, 1.5))
    with pytest.raises(InputError, match="level=0 is no level"):
        tau_gen(one, level=0)
