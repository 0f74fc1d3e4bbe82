"""Small image files and data configs for the tests of data sets."""

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from diffmem.config.data import (
    DATA,
    CelebaData,
    DataConfig,
    DigitsData,
    FashionMnistData,
    ImageFolderData,
    MixtureData,
)


def random_images(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    """uint8 [count, *shape]."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def write_folder(folder: Path, images: np.ndarray) -> Path:
    """PNG files 0.png, 1.png, ... of uint8 images [N, H, W] or [N, H, W, 3]."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def idx_bytes(images: np.ndarray) -> bytes:
    """The IDX format: magic, big-endian sizes, bytes."""
    return struct.pack(">4I", 0x0803, *images.shape) + images.tobytes()


def write_fashion(folder: Path, train: np.ndarray, t10k: np.ndarray) -> Path:
    """Both files of Fashion-MNIST, the first gzipped and the second not."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(train)))
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(t10k))
    return folder


def small_sets(folder: Path) -> dict[str, DataConfig]:
    """A config of every data set, with small files where the set reads files. `celeba_tensor` is the study's file."""
    faces = random_images(41, 40, 34, 3, seed=3)
    tensors = folder / "tensors"
    tensors.mkdir()
    torch.save(torch.rand(37, 1, 32, 32, generator=torch.Generator().manual_seed(0)), tensors / "CelebA32.pt")
    clothes = write_fashion(folder / "clothes", random_images(60, 28, 28, seed=1), random_images(13, 28, 28, seed=2))
    colours = write_folder(folder / "colours", random_images(50, 9, 7, 3))
    gray: dict[str, Any] = {"index": 0, "scale": 1.0, "size": 32, "channels": 1}
    configs: dict[str, DataConfig] = {
        "digits": DigitsData(n=64, index=0, scale=2.0, size=8, channels=1),
        "fashion_mnist": FashionMnistData(n=12, root=str(clothes), **gray),
        "image_folder": ImageFolderData(n=8, index=0, scale=0.5, size=6, channels=3, root=str(colours)),
        "celeba": CelebaData(n=7, root=str(write_folder(folder / "faces", faces)), **gray),
        "mixture": MixtureData(n=128, index=0, scale=1.0, dim=3, mu=1.0, sigma=0.5),
    }
    assert set(configs) == set(DATA)
    return {**configs, "celeba_tensor": CelebaData(n=6, root=str(tensors), **gray)}


SETS = (*DATA, "celeba_tensor")
