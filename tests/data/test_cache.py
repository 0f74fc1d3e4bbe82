"""The cache of prepared folders: one decoding, checked bytes, and repair."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from diffmem import data
from diffmem.config.data import ImageFolderData
from diffmem.data import Dataset, cache, decode, load
from diffmem.errors import InputError
from diffmem.files import DamagedWarning
from tests.helpers.image_files import random_images, write_folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "image_folder"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "images", random_images(150, 8, 8))  # more than two blocks of a thread


def load_again(root: Path, size: int = 8, channels: int = 1) -> Dataset:
    """As a new process would."""
    data._load.cache_clear()
    return load(ImageFolderData(n=2, index=0, scale=1.0, size=size, channels=channels, root=str(root)))


def pixels(dataset: Dataset) -> torch.Tensor:
    return dataset.read(0, dataset.count)


def truth() -> torch.Tensor:
    return torch.from_numpy(random_images(150, 8, 8))[:, None] / 255


def entry_files(folder: Path, suffix: str) -> list[Path]:
    return sorted(folder.glob(f"*{suffix}"))


@pytest.fixture
def no_decoding(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a first load, opening an image is an error."""
    load_again(root)

    def refuse(*_: object) -> np.ndarray:
        raise AssertionError("an image was opened again")

    monkeypatch.setattr(decode, "decode", refuse)


@pytest.mark.usefixtures("no_decoding")
def test_a_second_load_opens_no_image_and_maps_the_file(root: Path) -> None:
    dataset = load_again(root)
    assert isinstance(dataset.stored, np.memmap)
    torch.testing.assert_close(pixels(dataset), truth(), rtol=0, atol=1e-7)


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize("change", ["size", "channels", "touched", "another image", "one image less", "renamed"])
def test_whatever_changes_the_content_is_prepared_anew(root: Path, change: str) -> None:
    if change == "touched":
        os.utime(root / "3.png", ns=(1, 1))
    elif change == "another image":
        (root / "150.png").write_bytes((root / "3.png").read_bytes())
    elif change == "one image less":
        (root / "3.png").unlink()
    elif change == "renamed":
        (root / "3.png").rename(root / "3a.png")
    with pytest.raises(AssertionError, match="opened again"):
        load_again(root, size=7 if change == "size" else 8, channels=3 if change == "channels" else 1)


@pytest.mark.usefixtures("no_decoding")
def test_two_folders_with_one_listing_are_two_entries(root: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    twin.mkdir()
    for path in root.iterdir():
        (twin / path.name).write_bytes(bytes(path.stat().st_size))  # same name, size and mtime, other pixels
        os.utime(twin / path.name, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    with pytest.raises(AssertionError, match="opened again"):
        load_again(twin)


@pytest.mark.parametrize(
    "damage",
    ["flipped byte", "truncated", "empty", "another shape", "json is torn", "json is a list", "json has another key"],
)
def test_a_damaged_entry_is_prepared_anew_with_a_warning(root: Path, folder: Path, damage: str) -> None:
    sound = load_again(root).sha256
    (array,), (sidecar,) = entry_files(folder, ".npy"), entry_files(folder, ".json")
    content = bytearray(array.read_bytes())
    if damage == "flipped byte":
        content[-100] ^= 1
        array.write_bytes(content)
    elif damage == "truncated":
        array.write_bytes(content[:-100])
    elif damage == "empty":
        array.write_bytes(b"")
    elif damage == "another shape":
        np.save(array, np.load(array).reshape(150, 1, 4, 16))
    elif damage == "json is torn":
        sidecar.write_bytes(sidecar.read_bytes()[:20])
    else:
        sidecar.write_text(json.dumps([1] if damage == "json is a list" else {"sha512": 1}))
    with pytest.warns(DamagedWarning, match=r"is damaged and is prepared again"):
        again = load_again(root)
    assert again.sha256 == sound
    torch.testing.assert_close(pixels(again), truth(), rtol=0, atol=1e-7)
    load_again(root)  # mended: no warning, and warnings are errors here


@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_half_an_entry_is_as_good_as_none(root: Path, folder: Path, suffix: str) -> None:
    sound = load_again(root).sha256
    entry_files(folder, suffix)[0].unlink()
    assert load_again(root).sha256 == sound


def test_the_sidecar_says_what_is_stored(root: Path, folder: Path) -> None:
    dataset = load_again(root)
    sidecar = json.loads(entry_files(folder, ".json")[0].read_text())
    assert sidecar["sha256"] == dataset.sha256
    assert sidecar["shape"] == [150, 1, 8, 8]
    assert sidecar["recipe"]["root"] == str(root)


def test_a_failed_write_leaves_no_entry_and_names_the_cure(
    root: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match=r"No space left on device.*DIFFMEM_CACHE"):
            load_again(root)
    assert [path.suffix for path in folder.iterdir()] == [".lock"]
    torch.testing.assert_close(pixels(load_again(root)), truth(), rtol=0, atol=1e-7)


def test_a_cache_that_is_a_file_is_refused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="DIFFMEM_CACHE"):
        load_again(root)


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFMEM_CACHE", "~/own")
    assert cache.cache_folder() == Path.home() / "own"
    monkeypatch.setenv("DIFFMEM_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "shared")
    assert cache.cache_folder() == Path("shared/diffmem")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.cache_folder() == Path.home() / ".cache" / "diffmem"


def prepare_counted(name: str) -> tuple[str, int]:
    """The sha256 of an entry, and how often this caller prepared it."""
    made = 0

    def blocks() -> list[np.ndarray]:
        nonlocal made
        made += 1
        return [np.full((1, 4), number, np.uint8) for number in range(50)]

    sha256 = cache.prepared("raced", {"name": name}, (50, 4), blocks)[1]
    return sha256, made


def test_callers_that_want_one_entry_at_once_prepare_it_once() -> None:
    # Threads stand in for processes: the lock belongs to an open file, not to a process.
    with ThreadPoolExecutor(4) as pool:
        for name in "abcdefgh":
            results = list(pool.map(prepare_counted, [name] * 4))
            assert len({sha256 for sha256, _ in results}) == 1
            assert sum(made for _, made in results) == 1
