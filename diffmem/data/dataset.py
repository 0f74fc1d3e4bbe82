"""A data set in its fixed order, and one split of it.

N images of shape [C, H, W], or points of shape [d]. The last `test_count` of the order are the test split;
training subset `index` of n images is images [index n, (index + 1) n) of the rest. Model space is
(pixels - mean) * scale, where mean is one number per channel: over the n training images and all their pixels.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffmem.config.data import DataConfig, FileData, ImageData
from diffmem.errors import InputError

TEST_COUNT = 2048
CHUNK = 1024  # images that are touched at once where a whole set is gone through


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Images as they are stored, [count, *shape] in the fixed order; `read` gives them as pixels.

    A stored value v stands for the pixel v / levels. `sha256` is of the stored bytes in the fixed order.
    """

    name: str
    stored: np.ndarray
    levels: int
    test_count: int
    sha256: str
    source: str
    licence: str

    @property
    def count(self) -> int:
        return len(self.stored)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image, (C, H, W), or of one point, (d,)."""
        return self.stored.shape[1:]

    def read(self, start: int, stop: int) -> Tensor:
        """Images [start, stop) of the fixed order: float32 pixels in [0, 1], [stop - start, C, H, W] (points as is).

        Only these are converted, so a set that is mapped from disk costs the memory of what is asked for.
        """
        images = torch.from_numpy(self.stored[start:stop].astype(np.float32))
        return images if self.levels == 1 else images.div_(self.levels)


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Training and test images in model space, and the way back to pixels."""

    train: Tensor  # [n, *shape] float32
    test: Tensor  # [test_count, *shape] float32
    mean: Tensor  # [C, 1, 1] float32; [1] and zero for points
    scale: float

    def to_pixels(self, x: Tensor) -> Tensor:
        """Pixels of model-space images x [..., C, H, W], on the device of x."""
        return x / self.scale + self.mean.to(x)


def split(dataset: Dataset, cfg: DataConfig) -> Split:
    """Subset `cfg.index` of `cfg.n` images and the test split. Raises InputError where the two would overlap."""
    check_subset(dataset, cfg)
    train = dataset.read(cfg.index * cfg.n, (cfg.index + 1) * cfg.n)
    test = dataset.read(dataset.count - dataset.test_count, dataset.count)
    mean = channel_mean(train)
    return Split(
        train=train.sub_(mean).mul_(cfg.scale), test=test.sub_(mean).mul_(cfg.scale), mean=mean, scale=cfg.scale
    )


def outside_test(dataset: Dataset, limit: int) -> Tensor:
    """Pixels of the first `limit` images outside the test split, or of all where there are fewer."""
    return dataset.read(0, min(limit, dataset.count - dataset.test_count))


def channel_mean(images: Tensor) -> Tensor:
    """Mean of each channel over images [N, C, H, W] and their pixels: [C, 1, 1]. Zero, [1], for points [N, d]."""
    if images.ndim == 2:
        return torch.zeros(1)
    total = sum(chunk.double().sum(dim=(0, 2, 3)) for chunk in images.split(CHUNK))
    return (total / (images.numel() / images.shape[1])).float()[:, None, None]


def check_subset(dataset: Dataset, cfg: DataConfig) -> None:
    """Raises InputError where subset `cfg.index` of `cfg.n` images would reach into the test split."""
    free = dataset.count - dataset.test_count
    if (cfg.index + 1) * cfg.n <= free:
        return
    largest = cfg.largest_n(free // (cfg.index + 1))
    fixes = [f"data.n={largest} or less"] if largest >= 2 else []
    if cfg.n <= free:
        fixes.append(f"data.index={free // cfg.n - 1} or less")
    raise InputError(
        f"data.n={cfg.n} with data.index={cfg.index} ends at image {(cfg.index + 1) * cfg.n}, and {cfg.name} has "
        f"{free} images outside its test split of {dataset.test_count}: use {', or '.join(fixes)}."
    )


def held_out_count(cfg: FileData, count: int) -> int:
    """Size of the test split of `count` images: 2048, or the last half of fewer than 2050.

    Raises InputError where there are fewer than two to train on and two to test on.
    """
    if count < 4:
        raise InputError(f"data.root={cfg.root} holds {count} images: give at least 4, two to train on, two to test.")
    return TEST_COUNT if count >= TEST_COUNT + 2 else count // 2


def check_shape(cfg: ImageData, shape: tuple[int, int, int]) -> None:
    """Raises InputError where `cfg` asks for images of another shape than the (C, H, W) the set has."""
    for option, value, has in (("size", cfg.size, shape[-1]), ("channels", cfg.channels, shape[0])):
        if value != has:
            raise InputError(
                f"data.{option}={value} does not fit {cfg.name}, which has {has}: set data.{option}={has}."
            )


def content_sha256(stored: np.ndarray) -> str:
    """SHA-256 of the array's bytes in C order, read in chunks."""
    digest = hashlib.sha256()
    for start in range(0, len(stored), CHUNK):
        digest.update(np.ascontiguousarray(stored[start : start + CHUNK]).data)
    return digest.hexdigest()
