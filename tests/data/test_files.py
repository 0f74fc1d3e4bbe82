"""Fashion-MNIST's IDX files and the study's CelebA tensor, sound and broken."""

import gzip
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from diffmem.config.data import CelebaData, FashionMnistData
from diffmem.data import fashion_mnist, idx, load
from diffmem.errors import InputError
from tests.helpers.image_files import idx_bytes, random_images, write_fashion, write_folder


@pytest.fixture
def clothes(tmp_path: Path) -> Path:
    return write_fashion(tmp_path / "clothes", random_images(60, 28, 28, seed=1), random_images(13, 28, 28, seed=2))


def fashion(root: Path | None) -> FashionMnistData:
    where = None if root is None else str(root)
    return FashionMnistData(n=12, index=0, scale=1.0, size=32, channels=1, root=where)


def celeba(root: Path) -> CelebaData:
    return CelebaData(n=4, index=0, scale=1.0, size=32, channels=1, root=str(root))


def test_fashion_is_the_padded_images_of_both_files_in_another_order(clothes: Path) -> None:
    dataset = load(fashion(clothes))
    whole = (dataset.read(0, dataset.count) * 255).numpy()
    assert whole.shape == (73, 1, 32, 32)
    inner = whole[:, 0, 2:-2, 2:-2]
    assert whole.sum() == inner.sum()  # the border is black
    original = np.concatenate([random_images(60, 28, 28, seed=1), random_images(13, 28, 28, seed=2)])
    assert sorted(image.tobytes() for image in inner.round().astype(np.uint8)) == sorted(i.tobytes() for i in original)
    assert not np.array_equal(inner, original)


def test_packed_and_plain_files_are_one_set(clothes: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for path in clothes.iterdir():
        content = path.read_bytes()
        (plain / path.stem if path.suffix else plain / path.name).write_bytes(
            gzip.decompress(content) if path.suffix else content
        )
    assert sorted(path.name for path in plain.iterdir()) == sorted(f"{part}-images-idx3-ubyte" for part in idx.PARTS)
    assert load(fashion(plain)).sha256 == load(fashion(clothes)).sha256


def test_without_a_root_the_debian_package_is_read(clothes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "DEBIAN", clothes)
    assert fashion_mnist.load(fashion(None)).sha256 == load(fashion(clothes)).sha256


def test_missing_files_say_where_they_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "nowhere")
    for root in (None, tmp_path):
        with pytest.raises(InputError, match=r"train-images-idx3-ubyte.*dataset-fashion-mnist, or set data\.root"):
            fashion_mnist.load(fashion(root))


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte"])
@pytest.mark.parametrize("keep", [0, 3, 15, 100, 2000, -1])
def test_a_truncated_idx_file_is_refused(clothes: Path, name: str, keep: int) -> None:
    path = clothes / name
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=rf"{name}.*get it again"):
        load(fashion(clothes))


@pytest.mark.parametrize(
    "content",
    [idx_bytes(random_images(5, 27, 28)), b"\0\0\x08\x01" + idx_bytes(random_images(5, 28, 28))[4:], b"<html>" * 9],
    ids=["other size", "labels", "a web page"],
)
def test_another_file_under_an_idx_name_is_refused(clothes: Path, content: bytes) -> None:
    (clothes / "t10k-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(InputError, match=r"t10k-images-idx3-ubyte has .* no whole IDX file of 28x28"):
        load(fashion(clothes))


@pytest.mark.parametrize("place", [0, 10, 20_000], ids=["magic", "block", "pixel"])
def test_a_flipped_byte_in_a_gzip_is_refused(clothes: Path, place: int) -> None:
    path = clothes / "train-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="can't be read as IDX"):
        load(fashion(clothes))


@pytest.mark.parametrize("zipped", [True, False])
def test_the_study_tensor_is_read_as_it_is(tmp_path: Path, zipped: bool) -> None:
    faces = torch.rand(20, 1, 32, 32)
    torch.save(faces, tmp_path / "CelebA32.pt", _use_new_zipfile_serialization=zipped)
    by_folder, by_file = load(celeba(tmp_path)), load(celeba(tmp_path / "CelebA32.pt"))
    assert by_folder.sha256 == by_file.sha256
    assert by_file.test_count == 10
    torch.testing.assert_close(by_file.read(0, 20), faces, rtol=0, atol=0)  # natural order


def test_a_folder_with_a_tensor_of_another_size_is_a_folder_of_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path / "cache"))
    root = write_folder(tmp_path / "faces", random_images(6, 40, 32, 3))
    torch.save(torch.rand(20, 1, 64, 64), root / "CelebA64.pt")
    assert load(celeba(root)).count == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.rand(20, 1, 16, 16), r"data\.size=32 does not fit celeba, which has 16"),
        (torch.rand(20, 3, 32, 32), r"data\.channels=1 does not fit celeba, which has 3"),
        (torch.rand(20, 32, 32), r"holds shape \(20, 32, 32\)"),
        (torch.rand(20, 1, 32, 30), r"holds shape"),
        (torch.rand(3, 1, 32, 32), "holds 3 images: give at least 4"),
        (torch.rand(20, 1, 32, 32) - 0.5, r"outside \[0, 1\]"),
        (torch.full((20, 1, 32, 32), torch.nan), r"outside \[0, 1\]"),
        (torch.rand(20, 1, 32, 32).double(), "no dense (float32 )?tensor"),
        (torch.eye(4).to_sparse(), "no dense (float32 )?tensor"),
        ({"images": torch.rand(20, 1, 32, 32)}, "no dense (float32 )?tensor"),
    ],
    ids=["size", "channels", "3-d", "not square", "few", "centred", "nan", "float64", "sparse", "dict"],
)
def test_a_tensor_of_another_kind_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "CelebA32.pt")
    with pytest.raises(InputError, match=message):
        load(celeba(tmp_path))


class Malicious:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["torch.save", "old torch.save", "pickle"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path, how: str) -> None:
    victim, path = tmp_path / "victim", tmp_path / "CelebA32.pt"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Malicious(victim)))
    else:
        torch.save(Malicious(victim), path, _use_new_zipfile_serialization=how == "torch.save")
    with pytest.raises(InputError, match=r"CelebA32\.pt (is refused|holds no dense tensor)"):
        load(celeba(tmp_path))
    assert not victim.exists()


@pytest.mark.parametrize("keep", [0, 10, 1000, -50])
def test_a_truncated_tensor_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "CelebA32.pt"
    torch.save(torch.rand(20, 1, 32, 32), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"CelebA32\.pt (is refused|holds no dense tensor)"):
        load(celeba(tmp_path))


def test_a_missing_tensor_or_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.pt can't be read"):
        load(celeba(tmp_path / "nothing.pt"))
    with pytest.raises(InputError, match="nothing does not exist"):
        load(celeba(tmp_path / "nothing"))


def test_the_tensor_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "CelebA32.pt"
    torch.save(torch.rand(20, 1, 32, 32), path)
    before = path.read_bytes()
    dataset = load(celeba(path))
    dataset.read(0, 20).zero_()
    assert path.read_bytes() == before


def test_a_packed_idx_file_that_stands_for_more_is_refused(clothes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idx, "LARGEST", 10_000)
    path = clothes / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(bytes(10**6)))
    with pytest.raises(InputError, match="has 10001 bytes"):
        load(fashion(clothes))


def test_a_root_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"data\.root=~nosuchuser/x"):
        load(fashion(Path("~nosuchuser/x")))
