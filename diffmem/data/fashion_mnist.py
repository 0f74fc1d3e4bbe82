"""Fashion-MNIST: 70,000 gray images of clothes, 28x28 padded with zeros to 32x32.

Read from IDX files, gzipped or not, in `data.root` or where Debian's package dataset-fashion-mnist puts them.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from diffmem.config.data import FashionMnistData
from diffmem.data.dataset import Dataset, check_shape, content_sha256, held_out_count
from diffmem.errors import InputError
from diffmem.rng import permutation

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FILES = ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte")
PAD = 2  # black pixels on each side: 28 -> 32, so that a U-Net can halve it
IDX_UBYTE_3D = 0x0803  # magic number: unsigned bytes, three dimensions


def load(cfg: FashionMnistData) -> Dataset:
    """Training then test files as [70000, 1, 32, 32]. Raises InputError where they are missing or damaged."""
    check_shape(cfg, (1, 32, 32))
    folder = DEBIAN if cfg.root is None else Path(cfg.root)
    images = np.concatenate([read_idx(find(folder, name)) for name in FILES])
    stored = np.zeros((len(images), 1, 28 + 2 * PAD, 28 + 2 * PAD), np.uint8)
    stored[:, 0, PAD:-PAD, PAD:-PAD] = images[permutation(len(images), "data order", cfg.name)]
    return Dataset(
        name=cfg.name,
        stored=stored,
        levels=255,
        test_count=held_out_count(cfg, len(stored)),
        sha256=content_sha256(stored),
        source="H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST, arXiv 1708.07747, 2017",
        licence="MIT",
    )


def find(folder: Path, name: str) -> Path:
    """The IDX file `name`, or its gzip. Raises InputError that says where to get it."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise InputError(
        f"{folder} holds no {name} (or {name}.gz): install the Debian package dataset-fashion-mnist, "
        "or set data.root to a folder with Fashion-MNIST's IDX files."
    )


def read_idx(path: Path) -> np.ndarray:
    """Images of one IDX file: uint8 [N, 28, 28]. Raises InputError where it is no such file or is cut short."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        magic, *shape = struct.unpack_from(">4I", content)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise InputError(f"{path} can't be read as IDX images ({error}): get it again.") from error
    if magic != IDX_UBYTE_3D or shape[1:] != [28, 28] or len(content) != 16 + math.prod(shape):
        raise InputError(
            f"{path} has {len(content)} bytes and the header {magic:#x} {shape}, so it is no whole IDX file of 28x28 "
            "images: get it again."
        )
    return np.frombuffer(content, np.uint8, offset=16).reshape(shape)
