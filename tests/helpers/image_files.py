"""Small image files and data configs for the tests of data sets."""

import gzip
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from diffmem.config.data import (
    DATA,
    ArrayData,
    CelebaData,
    Cifar10Data,
    DataConfig,
    DigitsData,
    FashionMnistData,
    HubData,
    ImageFolderData,
    LatentsData,
    MixtureData,
    MnistData,
    OrlFacesData,
    PatchesData,
)


def random_images(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    """uint8 [count, *shape]."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def write_folder(folder: Path, images: np.ndarray, suffix: str = ".png") -> Path:
    """Files 0.png, 1.png, ... of uint8 images [N, H, W] or [N, H, W, 3]."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}{suffix}")
    return folder


def idx_bytes(images: np.ndarray) -> bytes:
    """The IDX format of uint8 images [N, H, W] or labels [N]: magic, big-endian sizes, bytes."""
    return struct.pack(f">{1 + images.ndim}I", 0x0800 + images.ndim, *images.shape) + images.astype(np.uint8).tobytes()


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
        **_younger_sets(folder, gray),
    }
    assert set(configs) >= set(SETS[:-1])
    return {**configs, "celeba_tensor": CelebaData(n=6, root=str(tensors), **gray)}


def _younger_sets(folder: Path, gray: dict[str, Any]) -> dict[str, DataConfig]:
    digits = write_fashion(folder / "mnist", random_images(60, 28, 28, seed=4), random_images(13, 28, 28, seed=5))
    write_folder(folder / "orl" / "s1", random_images(6, 11, 9, seed=6), ".pgm")
    write_folder(folder / "orl" / "s2", random_images(6, 11, 9, seed=7), ".pgm")
    write_cifar_binary(folder / "cifar", 7)
    np.save(folder / "array.npy", np.random.default_rng(8).uniform(-1, 1, (40, 3, 8, 8)).astype(np.float32))
    np.save(folder / "latents.npy", np.random.default_rng(9).normal(0, 3, (40, 4, 4, 4)).astype(np.float32))
    colour: dict[str, Any] = {"index": 0, "scale": 1.0, "size": 8, "channels": 3}
    array, latents = (str(folder / f"{name}.npy") for name in ("array", "latents"))
    configs: dict[str, DataConfig] = {
        "mnist": MnistData(n=12, root=str(digits), **gray),
        "cifar10": Cifar10Data(n=6, index=0, scale=1.0, size=32, channels=3, root=str(folder / "cifar")),
        "orl_faces": OrlFacesData(n=2, root=str(folder / "orl"), **gray),
        "patches": PatchesData(n=16, index=0, scale=1.0, size=32, channels=3),
        "array": ArrayData(n=5, root=array, range=(-1.0, 1.0), label_file=None, **colour),
        "latents": LatentsData(n=5, index=0, scale=1.0, size=4, channels=4, root=latents, decoder=None),
    }
    if "hub" in SETS:
        root = str(write_hub(folder / "hub", random_images(12, 8, 8, 3, seed=10)))
        configs["hub"] = HubData(n=3, root=root, split="train", column=None, label_column=None, **colour)
    return configs


def cifar_batches(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images uint8 [count, 3072] and labels of each of the six batches."""
    images = random_images(6 * count, 3072, seed=11).reshape(6, count, 3072)
    return [(batch, np.arange(count) % 10) for batch in images]


def write_cifar_binary(folder: Path, count: int) -> Path:
    """CIFAR-10's binary batches, of `count` images each."""
    folder.mkdir()
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    for name, (images, labels) in zip(names, cifar_batches(count), strict=True):
        (folder / name).write_bytes(np.column_stack([labels, images]).astype(np.uint8).tobytes())
    return folder


def write_hub(folder: Path, images: np.ndarray) -> Path:
    """A folder that the library datasets reads: a parquet file of encoded images, labels and words."""
    import datasets

    features = {
        "picture": datasets.Image(),
        "kind": datasets.ClassLabel(names=["a", "b", "c"]),
        "words": datasets.Value("string"),
    }
    rows = {
        "picture": [Image.fromarray(image) for image in images],
        "kind": [number % 3 for number in range(len(images))],
        "words": [str(number) for number in range(len(images))],
    }
    (folder / "data").mkdir(parents=True)
    made = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
    made.to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    return folder


SETS = (*(name for name in DATA if name != "hub" or find_spec("datasets")), "celeba_tensor")
