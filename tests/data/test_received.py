"""A data set that another machine sent is the one it was sent as, kept once, and mended where it was damaged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diffmem.data import load, receive
from diffmem.data.dataset import Dataset, content_sha256
from diffmem.data.received import Parcel
from diffmem.errors import InputError
from diffmem.files import DamagedWarning
from tests.helpers.image_files import random_images
from tests.helpers.tiny import tiny


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def dataset(stored: np.ndarray) -> Dataset:
    about = {"name": "images", "levels": 255, "test_count": 3, "source": "here", "licence": "none"}
    return Dataset(stored=stored, sha256=content_sha256(stored), **about)  # type: ignore[arg-type]


def never() -> np.ndarray:
    raise AssertionError("it was sent again")


def images(kind: str) -> np.ndarray:
    whole = random_images(2000, 1, 4, 4)
    return whole if kind == "uint8" else whole.astype(kind) / 255


@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
def test_it_is_sent_once_and_equals_what_was_sent(kind: str) -> None:
    sent = dataset(images(kind))
    parcel = Parcel.of(sent)
    assert parcel.about.stored.nbytes == 0
    for fetch in (lambda: sent.stored, never):
        found = parcel.unpack(fetch)
        assert found.stored.dtype == sent.stored.dtype
        assert np.array_equal(found.stored, sent.stored)
        assert replace(found, stored=sent.stored).sha256 == sent.sha256
        assert (found.name, found.test_count, found.source) == ("images", 3, "here")


def test_a_damaged_copy_is_sent_again(cache: Path) -> None:
    sent = dataset(images("uint8"))
    Parcel.of(sent).unpack(lambda: sent.stored)
    (file,) = (cache / "received").glob("*.npy")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.warns(DamagedWarning, match="damaged"):
        assert np.array_equal(Parcel.of(sent).unpack(lambda: sent.stored).stored, sent.stored)


def test_other_images_than_those_of_the_checksum_are_refused() -> None:
    sent = dataset(images("uint8"))
    with pytest.raises(InputError, match="data=images came to this machine with another checksum"):
        Parcel.of(sent).unpack(lambda: sent.stored[::-1])


def test_what_was_received_is_loaded_for_any_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffmem.data._RECEIVED", {})
    config = tiny(data={"name": "fashion_mnist", "root": "/nowhere", "size": 32, "channels": 1}).data
    with pytest.raises(InputError, match="/nowhere holds no"):
        load(config)
    sent = dataset(random_images(2000, 1, 32, 32))
    receive(config, sent)
    assert load(replace(config, n=5, index=2, scale=1.0)) is sent
    with pytest.raises(InputError, match="/elsewhere holds no"):
        load(tiny(data={"name": "fashion_mnist", "root": "/elsewhere", "size": 32, "channels": 1}).data)
