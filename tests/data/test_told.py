"""The labels that a network is told: whose they are, and those of samples."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diffmem.config.compose import compose
from diffmem.config.data import DataConfig
from diffmem.data import load, split
from diffmem.data.labels import Labels, check_same_labels, labels_of, recorded
from diffmem.errors import InputError


def config(labels: str, n: int = 60, index: int = 1) -> DataConfig:
    return compose([f"data.labels={labels}", f"data.n={n}", f"data.index={index}"]).data


def told(labels: str, classes: int, n: int = 60, index: int = 1) -> Labels:
    found = labels_of(load(config("false")), config(labels, n, index), classes)
    assert found is not None
    return found


def test_true_labels_are_those_of_the_images() -> None:
    dataset, found = load(config("true")), told("true", 10)
    assert dataset.labels is not None
    assert found.train.tolist() == dataset.labels[60:120].tolist()
    assert found.test.tolist() == dataset.labels[-500:].tolist()


def test_random_labels_belong_to_images_and_not_to_subsets() -> None:
    one, other = told("random", 10, n=120, index=0), told("random", 10, n=60, index=1)
    assert one.train[60:].tolist() == other.train.tolist()
    counts = torch.bincount(told("random", 10, n=1200, index=0).train, minlength=10)
    assert ((counts - 120).abs() < 4 * (1200 * 0.09) ** 0.5).all()


def test_a_unique_label_names_its_image() -> None:
    assert told("unique", 60).train.tolist() == list(range(60))


def test_samples_have_the_labels_of_training_images_as_often() -> None:
    found = told("true", 10)
    assert Counter(found.of_samples(120).tolist()) == Counter([*found.train.tolist(), *found.train.tolist()])
    assert torch.equal(found.of_samples(200)[:77], found.of_samples(77))


def test_no_labels_are_none_and_missing_ones_are_refused() -> None:
    dataset = load(config("true"))
    assert labels_of(dataset, config("false"), None) is None
    with pytest.raises(InputError, match=r"data\.labels=true needs labels, and data=digits has none"):
        labels_of(replace(dataset, labels=None), config("true"), 10)
    with pytest.raises(InputError, match=r"model\.classes=9 is fewer than the 10 labels of data=digits"):
        labels_of(dataset, config("true"), 9)


def test_other_labels_than_a_run_had_are_refused() -> None:
    dataset, cfg = load(config("true")), config("true")
    about = recorded(dataset, cfg)
    check_same_labels(dataset, cfg, about, Path("run"))
    assert dataset.labels is not None
    swapped = replace(dataset, labels=dataset.labels[::-1].copy())
    with pytest.raises(InputError, match="the labels of data=digits are not those that run was trained with"):
        check_same_labels(swapped, cfg, about, Path("run"))
    assert recorded(dataset, config("random")) == {}
    check_same_labels(swapped, config("random"), {}, Path("run"))


@pytest.mark.parametrize("scale", ["2", "auto"])
def test_half_makes_model_space_minus_one_to_one(scale: str) -> None:
    cfg = compose(["data.center=half", f"data.scale={scale}"]).data
    parts = split(load(cfg), cfg)
    assert (float(parts.train.min()), float(parts.train.max())) == (-1.0, 1.0)
    assert torch.equal(parts.train / 2 + 0.5, load(cfg).read(0, 64))
    assert torch.equal(parts.to_pixels(parts.test), parts.test / 2 + 0.5)
