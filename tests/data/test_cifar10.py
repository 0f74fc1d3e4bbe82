"""CIFAR-10 in every file that it is passed on in: the same images, and no code run."""

import gzip
import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diffmem.config.data import Cifar10Data
from diffmem.data import Dataset, load
from diffmem.errors import InputError
from tests.helpers.image_files import cifar_batches, write_cifar_binary

COUNT = 5
NAMES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


class Code:
    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


def load_root(root: Path) -> Dataset:
    return load(Cifar10Data(n=4, index=0, scale=1.0, size=32, channels=3, root=str(root)))


def pickled(images: np.ndarray, labels: Any, protocol: int = 2) -> bytes:
    """A batch as the python archive has it (written by Python 3, whose old protocols spell bytes as text)."""
    batch = {b"batch_label": b"one", b"labels": labels, b"data": images, b"filenames": [b"a.png"] * len(images)}
    return pickle.dumps(batch, protocol)


def python_2_batch(images: np.ndarray, labels: list[int]) -> bytes:
    """The opcodes that Python 2 wrote: strings, which hold bytes."""

    def text(word: bytes) -> bytes:
        return b"T" + len(word).to_bytes(4, "little") + word

    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85U\x01btR(K\x01M" + len(images).to_bytes(
        2, "little"
    )
    array += b"M\0\x0c\x86cnumpy\ndtype\nU\x02u1K\0K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89"
    array += text(images.tobytes()) + b"tb"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + numbers + b"u."


def write_python(folder: Path, write: Callable[[np.ndarray, Any], bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, (images, labels) in zip(NAMES, cifar_batches(COUNT), strict=True):
        (folder / name).write_bytes(write(images, labels.tolist()))
    return folder


def archived(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "cifar-10-batches")
    return path


def write_parquet(folder: Path) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    folder.mkdir()
    batches = cifar_batches(COUNT)
    for part, chosen in (("train", batches[:5]), ("test", batches[5:])):
        rows = [image for images, _ in chosen for image in images]
        encoded = []
        for row in rows:
            buffer = io.BytesIO()
            Image.fromarray(row.reshape(3, 32, 32).transpose(1, 2, 0)).save(buffer, "PNG")
            encoded.append({"bytes": buffer.getvalue(), "path": None})
        labels = np.concatenate([labels for _, labels in chosen])
        table = pyarrow.table({"img": encoded, "label": labels})
        parquet.write_table(table, folder / f"{part}-00000-of-00001.parquet")
    return folder


def test_every_form_gives_the_same_images_in_the_same_order(tmp_path: Path) -> None:
    binary = load_root(write_cifar_binary(tmp_path / "binary", COUNT))
    batches = cifar_batches(COUNT)
    truth = {image.tobytes(): label for images, labels in batches for image, label in zip(images, labels, strict=True)}
    assert binary.labels is not None
    assert binary.stored.shape == (6 * COUNT, 3, 32, 32)
    assert {image.tobytes(): label for image, label in zip(binary.stored, binary.labels, strict=True)} == truth
    python = write_python(tmp_path / "python", pickled)
    roots = [
        python,
        archived(python, tmp_path / "python.tar.gz"),
        archived(tmp_path / "binary", tmp_path / "binary.tar.gz"),
        write_python(tmp_path / "two" / "cifar-10-batches-py", python_2_batch).parent,
        write_parquet(tmp_path / "parquet"),
    ]
    for root in roots:
        other = load_root(root)
        assert other.sha256 == binary.sha256
        assert other.labels is not None
        assert np.array_equal(other.labels, binary.labels)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_with_code_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_python(tmp_path / "python", pickled)
    (folder / "data_batch_3").write_bytes(pickle.dumps({"data": Code(), "labels": [1]}, protocol))
    with pytest.raises(InputError, match=r"data_batch_3 of data\.root=.* is refused: it names .*system"):
        load_root(folder)
    assert not Path("ran").exists()


IMAGES, LABELS = cifar_batches(COUNT)[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "can't be read"),
        (pickled(IMAGES, LABELS.tolist())[:-20], "can't be read"),
        (pickle.dumps([1]), "holds no batch of CIFAR-10"),
        (pickled(IMAGES, LABELS.tolist()[:-1]), "holds 5 images and 4 labels"),
        (pickled(IMAGES.astype(np.float64), LABELS.tolist()), r"array that is not of bytes \[N, 3072\]"),
        (pickled(IMAGES[:, :100], LABELS.tolist()), r"array that is not of bytes \[N, 3072\]"),
        (pickled(np.asfortranarray(IMAGES), LABELS.tolist()), r"array that is not of bytes \[N, 3072\]"),
    ],
    ids=["empty", "cut", "no batch", "labels", "floats", "shape", "order"],
)
def test_another_pickle_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    folder = write_python(tmp_path / "python", pickled)
    (folder / "test_batch").write_bytes(content)
    with pytest.raises(InputError, match=rf"test_batch of .*{message}"):
        load_root(folder)


def test_a_label_past_the_last_class_is_refused(tmp_path: Path) -> None:
    folder = write_cifar_binary(tmp_path / "binary", COUNT)
    content = bytearray((folder / "test_batch.bin").read_bytes())
    content[0] = 10
    (folder / "test_batch.bin").write_bytes(content)
    with pytest.raises(InputError, match="a label that is none of 0 to 9"):
        load_root(folder)


def test_what_is_missing_or_cut_short_is_named(tmp_path: Path) -> None:
    folder = write_cifar_binary(tmp_path / "binary", COUNT)
    archive = archived(folder, tmp_path / "binary.tar.gz")
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(archive.read_bytes()[:-5000])
    with pytest.raises(InputError, match=r"cut\.tar\.gz can't be read as an archive"):
        load_root(cut)
    (tmp_path / "page.tar.gz").write_bytes(gzip.compress(b"<html>"))
    with pytest.raises(InputError, match=r"page\.tar\.gz can't be read as an archive"):
        load_root(tmp_path / "page.tar.gz")
    (folder / "data_batch_2.bin").write_bytes(b"1234")
    with pytest.raises(InputError, match=r"data_batch_2\.bin of .* has 4 bytes"):
        load_root(folder)
    (folder / "data_batch_2.bin").unlink()
    with pytest.raises(InputError, match=r"holds no data_batch_2 \(or data_batch_2\.bin\)"):
        load_root(folder)
    with pytest.raises(InputError, match="does not exist"):
        load_root(tmp_path / "nowhere")
