"""Arrays of images and latents: every file form, labels beside them, and refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from diffmem.config.data import ArrayData, LatentsData
from diffmem.data import Dataset, load
from diffmem.errors import InputError
from tests.helpers.image_files import random_images

IMAGES = random_images(12, 3, 6, 6)
LABELS = np.array([7, 3, 7, 3, 5, 5, 7, 3, 5, 7, 7, 7])


def load_array(root: Path, **options: Any) -> Dataset:
    whole = {"size": 6, "channels": 3, "range": None, "label_file": None, **options}
    return load(ArrayData(n=2, index=0, scale=1.0, root=str(root), **whole))


def written(folder: Path) -> dict[str, Path]:
    """The same images in every form."""
    np.save(folder / "a.npy", IMAGES)
    np.savez(folder / "b.npz", images=IMAGES, labels=LABELS, other=np.zeros(3))
    np.savez_compressed(folder / "c.npz", images=IMAGES, labels=LABELS)
    torch.save(torch.from_numpy(IMAGES), folder / "d.pt")
    torch.save({"images": torch.from_numpy(IMAGES), "labels": torch.from_numpy(LABELS)}, folder / "e.pt")
    save_file({"images": IMAGES, "labels": LABELS}, folder / "f.safetensors")
    np.save(folder / "g.npy", np.ascontiguousarray(IMAGES.transpose(0, 2, 3, 1)))  # channels last
    return {path.stem: path for path in folder.iterdir()}


def test_every_form_gives_the_same_images_and_labels(tmp_path: Path) -> None:
    for stem, path in written(tmp_path).items():
        dataset = load_array(path)
        np.testing.assert_array_equal(dataset.stored, IMAGES)
        assert dataset.test_count == 6
        torch.testing.assert_close(dataset.read(0, 12), torch.from_numpy(IMAGES) / 255)
        if stem in "bcef":
            assert dataset.labels is not None
            assert dataset.classes == ("3", "5", "7")
            assert [int(dataset.classes[label]) for label in dataset.labels] == LABELS.tolist()


def test_what_can_be_mapped_is_not_held_in_memory(tmp_path: Path) -> None:
    paths, maps = written(tmp_path), Path("/proc/self/maps")
    if not maps.is_file():
        pytest.skip("this system does not say what is mapped")
    for stem in "abdefg":
        dataset = load_array(paths[stem])
        assert str(paths[stem]) in maps.read_text(), stem
        del dataset


def test_floats_are_read_in_the_range_that_is_stated(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(-1, 1, (8, 6, 6)).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    dataset = load_array(tmp_path / "a.npy", channels=1, range=(-1.0, 1.0))
    torch.testing.assert_close(dataset.read(0, 8)[:, 0], torch.from_numpy((values + 1) / 2))
    for options, message in (
        ({}, r"holds float32, of which nobody says .*data\.range=\[0,1\]"),
        ({"range": (0.0, 1.0)}, r"values from -.* outside of data\.range=\[0,1\]"),
    ):
        with pytest.raises(InputError, match=message):
            load_array(tmp_path / "a.npy", channels=1, **options)
    values[5, 2, 2] = np.nan
    np.save(tmp_path / "b.npy", values)
    with pytest.raises(InputError, match="holds NaN among images 0 to 7"):
        load_array(tmp_path / "b.npy", channels=1, range=(-1.0, 1.0))


def test_a_range_is_two_numbers_in_order() -> None:
    with pytest.raises(InputError, match=r"data\.range=\[1\.0, 0\.0\] is no range"):
        load_array(Path("a.npy"), range=(1.0, 0.0))


def test_shuffled_is_another_order_of_images_and_labels_alike(tmp_path: Path) -> None:
    path = written(tmp_path)["b"]
    dataset = load_array(path, order="shuffled")
    assert dataset.sha256 != load_array(path).sha256
    label_of = {image.tobytes(): str(label) for image, label in zip(IMAGES, LABELS, strict=True)}
    assert dataset.labels is not None
    assert [dataset.classes[label] for label in dataset.labels] == [label_of[i.tobytes()] for i in dataset.stored]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (random_images(12, 2, 6, 6), r"holds shape \[12, 2, 6, 6\]"),
        (random_images(12, 3, 6, 5), r"holds shape \[12, 3, 6, 5\]"),
        (random_images(12, 6), r"holds shape \[12, 6\]"),
        (random_images(12, 3, 8, 8), r"data\.size=6 does not fit array, which has 8"),
        (random_images(12, 6, 6), r"data\.channels=3 does not fit array, which has 1"),
        (random_images(3, 3, 6, 6), "holds 3 images: give at least 4"),
        (IMAGES.astype(np.int32), "holds int32: save images as uint8, or as floats"),
        (np.array([{}, {}]), "can't be read .*something else than tensors"),
    ],
    ids=["channels", "not square", "rows", "size", "gray", "few", "int32", "objects"],
)
def test_an_array_of_another_kind_is_refused(tmp_path: Path, content: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", content, allow_pickle=True)
    with pytest.raises(InputError, match=message):
        load_array(tmp_path / "a.npy")


def test_labels_must_be_one_whole_number_an_image(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    for labels, message in (
        (LABELS[:-1], "holds 11 labels of 12 images"),
        (LABELS / 2, "no list of whole numbers"),
        (np.stack([LABELS, LABELS]), "no list of whole numbers"),
    ):
        np.save(tmp_path / "labels.npy", labels)
        with pytest.raises(InputError, match=rf"labels\.npy .*{message}"):
            load_array(tmp_path / "a.npy", label_file=str(tmp_path / "labels.npy"))


def test_a_file_cut_short_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    for path in written(tmp_path).values():
        path.write_bytes(path.read_bytes()[:-60])
        with pytest.raises(InputError, match=path.name):
            load_array(path)
    (tmp_path / "images.csv").write_text("1,2")
    with pytest.raises(InputError, match=r"images\.csv is no array: give a file that ends in \.npy"):
        load_array(tmp_path / "images.csv")
    with pytest.raises(InputError, match=r"nothing\.npy can't be read"):
        load_array(tmp_path / "nothing.npy")
    np.savez(tmp_path / "two.npz", x=IMAGES, y=IMAGES)
    with pytest.raises(InputError, match="none called images"):
        load_array(tmp_path / "two.npz")


def load_latents(root: Path, **options: Any) -> Dataset:
    whole = {"size": 4, "channels": 4, "decoder": None, **options}
    return load(LatentsData(n=2, index=0, scale=1.0, root=str(root), **whole))


def test_latents_stand_in_their_own_range_and_come_back(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 3, (10, 4, 4, 4)).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    dataset = load_latents(tmp_path / "a.npy")
    whole = dataset.read(0, 10)
    assert (float(whole.min()), float(whole.max())) == (0, 1)
    torch.testing.assert_close(whole * dataset.levels + dataset.black, torch.from_numpy(values))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((10, 4, 4, 4), np.float32), "holds 0 and nothing else"),
        (np.full((10, 4, 4, 4), np.nan, np.float32), "NaN or infinite"),
        (np.zeros((10, 4, 4), np.float32), r"holds float32 \[10, 4, 4\]"),
        (np.zeros((10, 4, 4, 4), np.uint8), "holds uint8"),
        (np.ones((10, 4, 4, 4), np.float32) * np.inf, "NaN or infinite"),
        (np.random.default_rng(0).normal(size=(10, 2, 4, 4)).astype(np.float32), "set data.channels=2"),
    ],
    ids=["flat", "nan", "shape", "bytes", "infinite", "channels"],
)
def test_latents_of_another_kind_are_refused(tmp_path: Path, content: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", content)
    with pytest.raises(InputError, match=message):
        load_latents(tmp_path / "a.npy")


def test_latents_have_no_mirror() -> None:
    with pytest.raises(InputError, match=r"data\.augment=flip does not apply to data=latents"):
        load_latents(Path("a.npy"), augment="flip")
