"""Runs that are told labels: their rows, their Python face, and what they are compared by."""

from pathlib import Path

import pytest
import torch

import diffmem
from diffmem.compare.comparison import compare
from diffmem.compare.targets.run import run_targets
from diffmem.config.compose import override_evaluation
from diffmem.config.settings import Config
from diffmem.diffusion.sampler import initial_noise, sample
from diffmem.errors import InputError
from diffmem.metrics.search import nearest_two
from diffmem.training.plan import plan, plan_evaluation
from diffmem.training.session import execute, fill
from tests.helpers.tiny import tiny

pytestmark = pytest.mark.slow

LAST = 4


def trained(out: Path, config: Config) -> diffmem.Run:
    planned = plan(config)
    assert execute(planned).status == "complete"
    return diffmem.load_run(planned.run.path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> diffmem.Run:
    """Told the labels of its images, and guided."""
    out = tmp_path_factory.mktemp("true")
    settings = {"model": {"classes": 10}, "train": {"label_dropout": 0.25, "steps": LAST}, "sampler": {"guidance": 2.0}}
    return trained(out, tiny(out, data={"labels": True}, eval={"features": "pixels"}, **settings))


@pytest.fixture(scope="module")
def unique(tmp_path_factory: pytest.TempPathFactory) -> diffmem.Run:
    """Told which image is which, always."""
    out = tmp_path_factory.mktemp("unique")
    return trained(out, tiny(out, data={"labels": "unique"}, model={"classes": 8}, train={"steps": LAST}))


def test_rows_have_every_class_and_all(run: diffmem.Run) -> None:
    row, stored = run.metrics().iloc[-1], run.samples(LAST)
    labels = run.labels(128)
    assert labels is not None
    assert torch.equal(stored["labels"], labels)
    shown = [label for label in range(10) if f"f_mem@class{label}" in row]
    assert shown == labels.unique().tolist()
    for label in shown:
        chosen = labels == label
        memorized = int((stored["d1"][chosen] / stored["d2"][chosen] < 1 / 3).sum())
        assert (row[f"f_mem_count@class{label}"], row[f"f_mem_total@class{label}"]) == (memorized, int(chosen.sum()))
        assert row[f"p_train@class{label}"] == pytest.approx(float(stored["own"][chosen].mean()))
        assert f"mmd_pixels@class{label}" in row
    assert row["f_mem_features"] == row["f_mem"]
    assert row["f_mem_features_null"] == row["f_mem_null"]


def test_samples_drawn_anew_are_the_measured_ones(run: diffmem.Run) -> None:
    torch.testing.assert_close(run.sample(LAST, 5), run.samples(LAST)["images"], rtol=1e-4, atol=1e-4)
    labels = run.labels(5)
    assert labels is not None
    assert torch.equal(run.sample(LAST, 5, labels=labels), run.sample(LAST, 5))


def test_one_label_for_all_and_none_at_all(run: diffmem.Run) -> None:
    assert torch.equal(run.sample(LAST, 3, labels=7), run.sample(LAST, 3, labels=[7, 7, 7]))
    assert not torch.equal(run.sample(LAST, 3, labels=7), run.sample(LAST, 3, labels=2))
    config = run.config
    plain = sample(run.model(LAST), initial_noise(3, (1, 8, 8)), diffusion=config.diffusion, sampler=config.sampler)
    assert torch.equal(run.sample(LAST, 3, guidance=0), plain)


def test_the_same_run_is_measured_without_labels(run: diffmem.Run) -> None:
    stored = plan(run.config).run
    _, made = fill(plan_evaluation(stored, override_evaluation(stored.read_config(), ["sampler.guidance=0"])))
    assert made == len(run.steps)
    (folder,) = (run.path / "evals").iterdir()
    row = stored.evaluation(folder.name).read_rows()[-1]
    assert not any("@class" in name for name in row)
    assert row["f_mem_total"] == 128
    drawn = nearest_two(run.sample(LAST, 128, guidance=0), run.train_images())
    torch.testing.assert_close(
        torch.from_numpy(stored.evaluation(folder.name).read_samples(LAST, ("d1",))["d1"]),
        drawn.d1,
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (10, "labels=10"),
        (-1, "labels=-1"),
        ([1, 2], "labels has 2 of them, and samples=3"),
        ([1.5, 2, 3], "labels=1.5"),
    ],
)
def test_labels_that_cannot_be_are_refused(run: diffmem.Run, labels: int | list[int], why: str) -> None:
    with pytest.raises((InputError, TypeError), match=why):
        run.sample(LAST, 3, labels=labels)


def test_unique_labels_are_searched_against_all_training_images(unique: diffmem.Run) -> None:
    """A sample drawn as image i counts as a copy of whichever image it is nearest to."""
    row, stored = unique.metrics().iloc[-1], unique.samples(LAST)
    found = nearest_two(unique.sample(LAST, 128), unique.train_images())
    torch.testing.assert_close(found.d1, stored["d1"], rtol=1e-4, atol=1e-4)
    assert torch.equal(found.i1, stored["i1"])
    assert not torch.equal(stored["i1"], stored["labels"])
    assert not any("@class" in name for name in row.index)


def test_a_network_that_always_had_a_label_is_not_guided(unique: diffmem.Run) -> None:
    with pytest.raises(InputError, match=r"sampler\.guidance=3 needs a network that was trained without labels too"):
        unique.sample(LAST, 2, guidance=3)


def test_conditional_checkpoints_are_compared(run: diffmem.Run, unique: diffmem.Run) -> None:
    targets = [*run_targets(run.path, "last"), *run_targets(unique.path, "last")]
    found = compare(targets, samples=64)
    assert found.table["sampler"].tolist() == [
        "ddim, 2 calls, raw weights, labels true, guidance 2",
        "ddim, 2 calls, raw weights, labels unique, guidance 1",
    ]
    stored = run.samples(LAST)
    assert found.table["f_mem_count"].iloc[0] == int((stored["d1"][:64] / stored["d2"][:64] < 1 / 3).sum())
    assert found.table["psnr_gap"].notna().tolist() == [True, False]
    notes = " ".join(found.notes)
    assert "PSNR gap and distance to the empirical score are of the network without labels" in notes
    assert "left out, the network was always told a label (train.label_dropout=0)" in notes
