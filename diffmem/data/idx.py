"""IDX files, the format of MNIST and of the sets made in its image: 28x28 gray images, and one label for each.

Read plain or gzipped, and checked whole: the header against the number of bytes.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from diffmem.config.data import FileData
from diffmem.data.dataset import Dataset, check_shape, content_sha256, held_out_count
from diffmem.errors import InputError
from diffmem.files import check_regular
from diffmem.rng import permutation

PARTS = ("train", "t10k")
PAD = 2  # black pixels on each side: 28 -> 32, so that a U-Net can halve it
LARGEST = 1 << 28  # bytes of an IDX file, unpacked
IMAGES, LABELS = 0x0803, 0x0801  # magic numbers: unsigned bytes, in three dimensions and in one


def load_idx(cfg: FileData, folder: Path, hint: str, *, source: str, licence: str, classes: tuple[str, ...]) -> Dataset:
    """Training then test files of `folder` in a keyed order, [N, 1, 32, 32]; labels where their files are there too.

    `hint` says where the files come from. Raises InputError where they are missing or damaged.
    """
    check_shape(cfg, (1, 32, 32))
    images = np.concatenate([read_images(_find(folder, f"{part}-images-idx3-ubyte", hint)) for part in PARTS])
    order = permutation(len(images), "data order", cfg.name)
    stored = np.zeros((len(images), 1, 28 + 2 * PAD, 28 + 2 * PAD), np.uint8)
    stored[:, 0, PAD:-PAD, PAD:-PAD] = images[order]
    labels = _labels(folder, hint, len(images), len(classes))
    return Dataset(
        name=cfg.name,
        stored=stored,
        levels=255,
        test_count=held_out_count(cfg, len(stored)),
        sha256=content_sha256(stored),
        source=source,
        licence=licence,
        labels=None if labels is None else labels[order],
        classes=() if labels is None else classes,
    )


def _labels(folder: Path, hint: str, count: int, classes: int) -> np.ndarray | None:
    """int64 [count] of both parts; None where the folder holds no label file."""
    names = [f"{part}-labels-idx1-ubyte" for part in PARTS]
    if not any(_paths(folder, name) for name in names):
        return None
    labels = np.concatenate([read_labels(_find(folder, name, hint)) for name in names])
    if len(labels) != count:
        raise InputError(f"{folder} holds {len(labels)} labels of {count} images: get its files again.")
    if labels.max() >= classes:
        raise InputError(f"{folder} holds the label {labels.max()}, and there are {classes} classes: get it again.")
    return labels.astype(np.int64)


def _paths(folder: Path, name: str) -> list[Path]:
    """Where it lies, plain or gzipped; some copies spell train-images.idx3-ubyte."""
    names = [spelt + end for spelt in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")]
    return [folder / name for name in names if (folder / name).is_file()]


def _find(folder: Path, name: str, hint: str) -> Path:
    found = _paths(folder, name)
    if not found:
        raise InputError(f"{folder} holds no {name} (or {name}.gz): {hint}.")
    return found[0]


def read_images(path: Path) -> np.ndarray:
    """uint8 [N, 28, 28]. Raises InputError where the file is no such IDX file or is cut short."""
    content, header = _read(path, 4)
    if header[0] != IMAGES or list(header[2:]) != [28, 28] or len(content) != 16 + math.prod(header[1:]):
        raise InputError(
            f"{path} has {len(content)} bytes and the header {header[0]:#x} {list(header[1:])}, so it is no whole IDX "
            "file of 28x28 images: get it again."
        )
    return np.frombuffer(content, np.uint8, offset=16).reshape(header[1:])


def read_labels(path: Path) -> np.ndarray:
    """uint8 [N]. Raises InputError where the file is no IDX file of labels or is cut short."""
    content, (magic, count) = _read(path, 2)
    if magic != LABELS or len(content) != 8 + count or not count:
        raise InputError(
            f"{path} has {len(content)} bytes and the header {magic:#x} [{count}], so it is no whole IDX file of "
            "labels: get it again."
        )
    return np.frombuffer(content, np.uint8, offset=8)


def _read(path: Path, words: int) -> tuple[bytes, tuple[int, ...]]:
    """The bytes of a file, unpacked, and its first `words` numbers."""
    try:
        check_regular(path, LARGEST)
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(LARGEST + 1)  # a packed file can stand for any amount
        return content, struct.unpack_from(f">{words}I", content)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise InputError(f"{path} can't be read as IDX ({error}): get it again.") from error
