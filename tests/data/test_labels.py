"""Labels of the sets that have them: they follow the images into the fixed order."""

from pathlib import Path

import numpy as np
import pytest

from diffmem.config.compose import compose
from diffmem.config.data import Cifar10Data, DigitsData, FashionMnistData, MixtureData, MnistData
from diffmem.data import cifar10, fashion_mnist, load
from diffmem.data.image_folder import folder_classes
from diffmem.errors import InputError
from tests.helpers.image_files import idx_bytes, random_images, write_fashion


def test_each_digit_keeps_its_label() -> None:
    from sklearn.datasets import load_digits

    original = load_digits()
    label_of = {
        image.astype(np.uint8).tobytes(): label for image, label in zip(original.images, original.target, strict=True)
    }
    dataset = load(DigitsData(n=2, index=0, scale=1.0, size=8, channels=1))
    assert dataset.labels is not None
    assert dataset.labels.dtype == np.int64
    assert dataset.labels.tolist() == [label_of[image.tobytes()] for image in dataset.stored]
    assert dataset.classes == tuple("0123456789")


def test_the_components_of_the_mixture_are_its_classes() -> None:
    dataset = load(MixtureData(n=2, index=0, scale=1.0, dim=2, mu=5.0, sigma=1.0))
    assert dataset.labels is not None
    assert np.array_equal(dataset.labels == 0, dataset.stored.sum(axis=1) > 0)


@pytest.fixture
def clothes(tmp_path: Path) -> Path:
    """Images whose first pixel is their label, and their label files."""
    folder = write_fashion(tmp_path, *(_marked(count, seed) for seed, count in enumerate((60, 13))))
    for part, count in (("train", 60), ("t10k", 13)):
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(count) % 10))
    return folder


def _marked(count: int, seed: int) -> np.ndarray:
    images = random_images(count, 28, 28, seed=seed)
    images[:, 0, 0] = np.arange(count) % 10
    return images


def fashion(root: Path) -> FashionMnistData:
    return FashionMnistData(n=12, index=0, scale=1.0, size=32, channels=1, root=str(root))


def test_idx_labels_follow_their_images(clothes: Path) -> None:
    dataset = load(fashion(clothes))
    assert dataset.labels is not None
    assert dataset.labels.tolist() == dataset.stored[:, 0, 2, 2].tolist()
    assert len(dataset.classes) == 10


def test_labels_of_another_length_are_refused(clothes: Path) -> None:
    (clothes / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(12) % 10))
    with pytest.raises(InputError, match="holds 72 labels of 73 images"):
        load(fashion(clothes))


def test_a_label_past_the_classes_is_refused(clothes: Path) -> None:
    (clothes / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.full(13, 10)))
    with pytest.raises(InputError, match="holds the label 10, and there are 10 classes"):
        load(fashion(clothes))


def test_one_missing_label_file_is_named(clothes: Path) -> None:
    (clothes / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError, match="holds no t10k-labels-idx1-ubyte"):
        load(fashion(clothes))


def test_sub_folders_are_classes_in_natural_order() -> None:
    labels, classes = folder_classes(["a2/1.png", "a10/x/2.png", "a2/3.png"])
    assert labels is not None
    assert (labels.tolist(), classes) == ([0, 1, 0], ("a2", "a10"))


@pytest.mark.parametrize("names", [["1.png", "a/2.png"], ["a/1.png", "a/b/2.png"], ["1.png"]])
def test_other_folders_have_no_classes(names: list[str]) -> None:
    assert folder_classes(names) == (None, ())


@pytest.mark.parametrize("name", ["digits", "patches"])
def test_a_bundled_set_has_as_many_classes_as_its_settings_say(name: str) -> None:
    cfg = compose([f"data={name}", "data.n=8"]).data
    dataset = load(cfg)
    assert dataset.labels is not None
    assert cfg.label_count == len(dataset.classes) == int(dataset.labels.max()) + 1


def test_settings_say_how_many_classes_the_published_sets_have() -> None:
    assert FashionMnistData.label_count == len(fashion_mnist.CLASSES)
    assert Cifar10Data.label_count == len(cifar10.CLASSES)
    assert MnistData.label_count == 10
