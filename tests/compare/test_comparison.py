"""Comparisons tell the truth where it is known: copies, fresh images, exact denoisers, runs measured before."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from diffmem.compare.comparison import Comparison, compare
from diffmem.compare.targets.base import Target
from diffmem.compare.targets.bookends import bookend
from diffmem.compare.targets.run import best_step, run_targets
from diffmem.errors import InputError
from diffmem.metrics.features.network import Network
from diffmem.metrics.search import TrainingIndex, nearest_two
from diffmem.runs import load_run
from diffmem.stats.intervals import wilson
from diffmem.stats.paired import cochran_q, mcnemar_exact
from tests.helpers.compare_targets import digits64, gaussians, noise_images, samples_target, trained
from tests.helpers.networks import bare

TRAIN, HELDOUT = noise_images(60, 0), noise_images(80, 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("runs"))


def row(comparison: Comparison, place: int = 0) -> pd.Series:
    return comparison.table.iloc[place]


def test_copies_and_fresh_images() -> None:
    """Copies: f_mem = 1 and full coverage. Held-out images: the null itself, and nothing is covered."""
    copies = samples_target("copies", TRAIN, TRAIN, HELDOUT)
    fresh = samples_target("fresh", HELDOUT, TRAIN, HELDOUT)
    comparison = compare([copies, fresh], samples=80)
    first, second = row(comparison), row(comparison, 1)
    assert (first["f_mem"], first["coverage"], first["copied_images"]) == (1.0, 1.0, 60)
    assert second["f_mem"] == second["f_mem_null"] == 0
    assert (second["coverage"], second["f_mem_total"]) == (0.0, 80)
    for name in ("gap_ratio", "auth_pct", "calibrated_l2", "f_mem_features"):
        assert second[name] == pytest.approx(second[f"{name}_null"])
    assert list(comparison.copied["samples"]) == [1] * 60
    assert sorted(comparison.copied["index"]) == list(range(60))
    ranks = comparison.ranks.set_index("measure")
    assert (ranks["copies"] == 1).all()
    assert "c_t" in ranks.index
    assert comparison.pairs["test"].tolist() == ["Fisher exact"]
    assert "fewer than the 80 asked for" in " ".join(comparison.notes)
    assert "there is no network" in " ".join(comparison.notes)


def test_features_and_thresholds_are_those_that_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """f_mem_features is the share below its own k in the network's features; both k let 4 of 80 held-out pass."""
    monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path))
    samples = 0.85 * TRAIN[:40] + 0.15 * HELDOUT[:40]
    target = samples_target("mixed", samples, TRAIN, HELDOUT)
    comparison = compare([target], samples=40, k="null:0.05", features="module:tests.helpers.networks:bare")
    found = row(comparison)
    network = Network(module=bare()).extractor("bare", (1, 4, 4), torch.device("cpu"))
    seen = [torch.from_numpy(network(images)) for images in (TRAIN, samples, HELDOUT)]
    for name, (train, drawn, heldout) in (("f_mem", (TRAIN, samples, HELDOUT)), ("f_mem_features", seen)):
        ratio, null = ((near.d1 / near.d2).numpy() for near in map(TrainingIndex(train).nearest_two, (drawn, heldout)))
        k = np.sort(null)[4]
        assert found[f"{name}_threshold"] == pytest.approx(k, rel=1e-6)
        assert found[name] == pytest.approx(np.mean(ratio < k))
        assert found[f"{name}_null"] == pytest.approx(4 / 80)
    assert comparison.k == found["f_mem_threshold"] == comparison.sheets[0].k
    assert "f_mem_threshold" not in compare([target], samples=40).table
    with pytest.raises(InputError, match="is calibrated on held-out images, and alone has none: give --heldout"):
        compare([samples_target("alone", samples, TRAIN)], samples=40, k="null:0.05")


def test_samples_have_their_neighbours() -> None:
    samples = 0.7 * TRAIN[:30] + 0.3 * HELDOUT[:30]
    comparison = compare([samples_target("mixed", samples, TRAIN)], samples=30)
    nearest = nearest_two(samples, TRAIN)
    assert np.array_equal(comparison.samples["nearest"], nearest.i1)
    assert np.array_equal(comparison.samples["second"], nearest.i2)
    np.testing.assert_allclose(comparison.samples["ratio"], nearest.d1 / nearest.d2)
    assert np.array_equal(comparison.samples["memorized"], (nearest.d1 / nearest.d2 < 1 / 3).numpy())
    sheet = comparison.sheets[0]
    assert sheet.ratio[: sheet.lowest].tolist() == sorted(comparison.samples["ratio"])[:8]
    places = [int(np.flatnonzero(comparison.samples["ratio"] == ratio)[0]) for ratio in sheet.ratio]
    assert np.array_equal(sheet.nearest, TRAIN[nearest.i1[places]].numpy())
    assert np.array_equal(sheet.second, TRAIN[nearest.i2[places]].numpy())
    assert len(set(places)) == 16


def test_duplicates_in_the_training_set_change_nothing() -> None:
    samples = torch.cat([TRAIN[:20] + 0.01, HELDOUT[:20]])
    twice = torch.cat([TRAIN, TRAIN[:30]])
    once, doubled = (compare([samples_target("s", samples, a, HELDOUT)], samples=40) for a in (TRAIN, twice))
    differ = {"n", "training_images", "train_duplicates"}
    same = [name for name in once.table if name not in differ]
    pd.testing.assert_frame_equal(once.table[same], doubled.table[same])
    assert row(doubled)["train_duplicates"] == 30
    pd.testing.assert_frame_equal(once.samples, doubled.samples)


def test_order_of_samples_and_pixel_values_change_no_share() -> None:
    samples = torch.cat([TRAIN[:20] + 0.01, HELDOUT[:20]])
    turned = samples.flip(0)
    base = row(compare([samples_target("s", samples, TRAIN, HELDOUT)], samples=40))
    other = row(compare([samples_target("s", turned, TRAIN, HELDOUT)], samples=40))
    moved = row(compare([samples_target("s", samples * 2 - 1, TRAIN * 2 - 1, HELDOUT * 2 - 1)], samples=40))
    for name in ("f_mem", "f_mem_null", "coverage", "gap_ratio", "auth_pct", "calibrated_l2", "c_t"):
        assert other[name] == pytest.approx(base[name])
        assert moved[name] == pytest.approx(base[name], rel=1e-5)


def test_without_heldout_images_the_null_is_of_the_training_images() -> None:
    comparison = compare([samples_target("copies", TRAIN, TRAIN)], samples=60)
    assert (row(comparison)["f_mem"], row(comparison)["f_mem_null"], row(comparison)["f_mem_null_total"]) == (
        1.0,
        0.0,
        60,
    )
    assert np.isnan(row(comparison)["c_t"])
    assert "each against the others" in " ".join(comparison.notes)


@pytest.mark.slow
def test_a_run_is_measured_as_it_was_in_training(run: Path) -> None:
    """f_mem and its null are those of metrics.jsonl, at every checkpoint, whatever the pixel space."""
    comparison = compare(run_targets(run, "all"), samples=128)
    rows = load_run(run).metrics()
    assert list(comparison.table["step"]) == list(rows["step"])
    for name in ("f_mem", "f_mem_low", "f_mem_high", "f_mem_null", "f_mem_null_high"):
        np.testing.assert_allclose(comparison.table[name], rows[name])
    np.testing.assert_allclose(comparison.table["ratio_q50"], rows["ratio_q50"], rtol=1e-4)
    np.testing.assert_allclose(comparison.table["d1_q50"], rows["d1_q50"] / 2, rtol=1e-4)  # data.scale is 2
    assert comparison.overall["targets"] == len(rows)
    assert comparison.correlations["spearman"].between(-1, 1).all()


@pytest.mark.slow
def test_pairs_are_of_the_same_noise(run: Path) -> None:
    """Counts, test and interval come from sample m of both; a target against itself agrees everywhere."""
    first, second = run_targets(run, "4")[0], run_targets(run, "last")[0]
    comparison = compare([first, bookend("empirical", first), second], samples=100)
    flags = {name: part["memorized"].to_numpy() for name, part in comparison.samples.groupby("target", sort=False)}
    for pair in comparison.pairs.to_dict("records"):
        a, b = flags[pair["first"]], flags[pair["second"]]
        assert (pair["both"], pair["only_first"]) == ((a & b).sum(), (a & ~b).sum())
        assert pair["p"] == mcnemar_exact(int((a & ~b).sum()), int((~a & b).sum()))
        assert pair["difference"] == pytest.approx(a.mean() - b.mean())
        assert pair["p_holm"] >= pair["p"]
    assert comparison.overall["p"] == cochran_q(np.stack(list(flags.values()), axis=1)).p
    assert comparison.pairs["common_images"].tolist() == [8, 8, 8]


def test_the_empirical_denoiser_copies(tmp_path: Path) -> None:
    like = run_targets(digits64(tmp_path), "last")[0]
    comparison = compare([bookend("empirical", like)], samples=200)
    assert row(comparison)["f_mem"] > 0.95
    assert row(comparison)["coverage"] > 0.8
    assert row(comparison)["score_distance"] < 1e-6
    with pytest.raises(InputError, match="data=mixture only"):
        bookend("population", like)


def test_the_population_gives_the_null(tmp_path: Path) -> None:
    like = run_targets(gaussians(tmp_path), "last")[0]
    comparison = compare([bookend("population", like), bookend("empirical", like)], samples=400)
    fresh = row(comparison)
    share = fresh["f_mem_null"]
    error = np.sqrt(max(share * (1 - share), 1 / 2048) * (1 / 400 + 1 / 2048))
    assert abs(fresh["f_mem"] - share) < 4 * error
    for name, deviation in (("auth_pct", 50.0), ("c_t", 1.0)):
        slack = 4 * deviation * (np.sqrt(1 / 400 + 1 / 2048) if name == "auth_pct" else 1)
        assert abs(fresh[name] - fresh[f"{name}_null"]) < slack
    assert row(comparison, 1)["f_mem"] > 0.95


def test_overlap_is_by_content() -> None:
    """Sets that share ten images, in other places: the copies among those are counted, the others are not."""
    other = torch.cat([HELDOUT[:30], TRAIN[:10].flip(0)])
    first = samples_target("a", TRAIN[:15], TRAIN)
    second = samples_target("b", other[[30, 31, 0]], other)
    pair = compare([first, second], samples=15).pairs.iloc[0]
    assert (pair["common_images"], pair["copied_by_both"], pair["copied_by_either"]) == (10, 2, 10)
    comparison = compare([first, second], samples=15)
    assert comparison.copied.groupby("target")["targets"].sum().to_dict() == {"a": 17, "b": 5}
    assert "2 different sets" in comparison.notes[-2]


def test_best_is_the_best_quality_before_memorization() -> None:
    null = wilson(0, 500)[1]
    count = [0, 1, 2, 60, 0]
    rows = pd.DataFrame({"step": [0, 10, 20, 30, 40], "fd_pixels": [9.0, 3.0, 4.0, 1.0, 0.5]})
    rows["f_mem_low"] = [wilson(c, 200)[0] for c in count]
    rows["f_mem_null_high"] = null
    rows["fd_pixels_low"] = 0.0
    assert best_step(rows) == 10  # 30 memorizes, and what comes after does not count
    assert best_step(rows[:3]) == 10
    assert best_step(rows[3:]) is None
    assert best_step(rows.drop(columns="fd_pixels").drop(columns="fd_pixels_low")) is None


def broken(value: float) -> Target:
    samples = HELDOUT[:5].clone()
    samples[2, 0, 0, 0] = value
    return samples_target("broken", samples, TRAIN)


BAD = [
    (list, 10, "no target"),
    (lambda: [broken(0.5)], 0, "--samples=0"),
    (lambda: [broken(float("nan"))], 10, "broken: 1 of 5 samples hold NaN"),
    (lambda: [broken(0.5), broken(0.5)], 10, "broken is named twice"),
    (
        lambda: [broken(0.5), samples_target("wide", noise_images(5, 0, 6), noise_images(5, 1, 6))],
        10,
        "different shapes, (1, 6, 6) (wide) and (1, 4, 4) (broken)",
    ),
    (lambda: [samples_target("one", TRAIN, TRAIN[:1])], 10, "gives 1 training image: d1/d2 needs two"),
    (lambda: [samples_target("same", TRAIN, TRAIN[:1].repeat(5, 1, 1, 1))], 10, "5 images and 1 distinct"),
    (lambda: [samples_target("held", TRAIN, TRAIN, noise_images(5, 0, 6))], 10, "do not fit training images"),
]


@pytest.mark.parametrize(("targets", "samples", "words"), BAD)
def test_bad_targets(targets: object, samples: int, words: str) -> None:
    with pytest.raises(InputError) as caught:
        compare(targets(), samples=samples)  # type: ignore[operator]
    assert words in str(caught.value)


def test_a_step_that_was_not_saved(run: Path) -> None:
    with pytest.raises(InputError, match=r"no checkpoint at step 13: the nearest saved are 6, 11, 20"):
        run_targets(run, "13")
