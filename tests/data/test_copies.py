"""Copies inside a set: planted ones are found, and what is kept holds none."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffmem.data.copies import NEAR, exact, near, without_copies
from diffmem.data.dataset import Dataset, content_sha256
from diffmem.errors import InputError
from tests.helpers.image_files import random_images


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path_factory.mktemp("cache")))


def set_of(images: np.ndarray, test_count: int = 4) -> Dataset:
    return Dataset(
        name="set",
        stored=images,
        levels=255,
        test_count=test_count,
        sha256=content_sha256(images),
        source="here",
        licence="none",
        labels=np.arange(len(images)),
    )


def planted() -> np.ndarray:
    """20 random images; 9 and 17 equal 3, 12 is nearly 5 and 18 nearly 12, 15 mirrors 6."""
    images = random_images(20, 1, 8, 8)
    images[9] = images[17] = images[3]
    images[12] = np.clip(images[5].astype(int) + 3, 0, 255)
    images[18] = np.clip(images[12].astype(int) + 3, 0, 255)
    images[15] = images[6][..., ::-1]
    return images


def test_planted_copies_are_found() -> None:
    dataset = set_of(planted())
    assert exact(dataset).pairs == [(9, 3), (17, 3)]
    assert exact(dataset, mirrored=True).pairs == [(9, 3), (15, 6), (17, 3)]
    assert near(dataset).pairs == [(9, 3), (12, 5), (17, 3), (18, 5)]
    assert near(dataset, mirrored=True).pairs == [(9, 3), (12, 5), (15, 6), (17, 3), (18, 5)]
    assert near(dataset).pairs == near(dataset).pairs  # the second from the cache


def test_a_set_without_its_copies_keeps_order_split_and_labels() -> None:
    dataset = set_of(planted())
    left = without_copies(dataset, "near")
    kept = [place for place in range(20) if place not in (9, 12, 17, 18)]
    np.testing.assert_array_equal(left.stored, dataset.stored[kept])
    assert left.labels is not None
    assert left.labels.tolist() == kept
    assert left.test_count == 2  # 16 and 19
    assert left.removed is not None
    assert (left.removed.how, left.removed.sha256) == ("near", dataset.sha256)
    assert left.removed.pairs == ((9, 3), (12, 5), (17, 3), (18, 5))
    assert left.sha256 == content_sha256(left.stored)
    again = without_copies(replace(left, removed=None), "exact")
    assert again.removed is not None
    assert again.removed.pairs == ()
    assert again.sha256 == left.sha256


def test_a_set_of_nothing_but_copies_is_refused() -> None:
    images = random_images(8, 1, 8, 8)
    images[4:] = images[:4]
    with pytest.raises(InputError, match=r"data\.deduplicate=exact leaves 4 images of set to train on and 0 to test"):
        without_copies(set_of(images), "exact")


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.booleans(), st.integers(2, 60))
def test_near_copies_are_those_of_a_brute_force(seed: int, mirrored: bool, count: int) -> None:
    random = np.random.default_rng(seed)
    centres = random.uniform(50, 200, (max(2, count // 3), 1, 3, 4))
    noise = random.choice([0.5, 4.0, 40.0], (count, 1, 1, 1)) * random.normal(size=(count, 1, 3, 4))
    images = np.clip(centres[random.integers(0, len(centres), count)] + noise, 0, 255).astype(np.uint8)
    dataset = set_of(images, 1)
    pixels = images.reshape(count, -1).astype(np.float64) / 255
    views = [pixels, images[..., ::-1].reshape(count, -1) / 255] if mirrored else [pixels]
    distances = np.min([np.linalg.norm(pixels[:, None] - view[None], axis=2) for view in views], axis=0)
    first = [int(np.flatnonzero(distances[place] == 0)[0]) for place in range(count)]
    distinct = [place for place in range(count) if first[place] == place]
    if len(distinct) < 2:
        assert near(dataset, mirrored=mirrored).copy_of.tolist() == first
        return
    apart = distances[np.ix_(distinct, distinct)] + np.diag(np.full(len(distinct), np.inf))
    radius = NEAR * np.median(apart.min(axis=1))
    if np.abs(apart - radius).min() < 1e-5:
        return  # too near to the edge for float32
    kept: list[int] = []
    truth = {}
    for place in distinct:
        of = next((other for other in kept if distances[place, other] < radius), place)
        truth[place] = of
        if of == place:
            kept.append(place)
    assert near(dataset, mirrored=mirrored).copy_of.tolist() == [truth[first[place]] for place in range(count)]
