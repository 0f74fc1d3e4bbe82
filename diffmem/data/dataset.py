"""A data set in its fixed order, and one split of it.

N images of shape [C, H, W], or points of shape [d]. The last `test_count` of the order are the test split;
training subset `index` of n images is images [index n, (index + 1) n) of the rest. Model space is
(pixels - mean) * scale, where mean is one number per channel: over the n training images and all their pixels; scale is
`data.scale`, of which auto makes the standard deviation of these pixels 1. With `data.center=half` mean is 1/2 and
scale 2, so that model space is [-1, 1].
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffmem import memory
from diffmem.config.data import HALF_SCALE, DataConfig, FileData, ImageData
from diffmem.errors import InputError
from diffmem.rng import permutation

TEST_COUNT = 2048
CHUNK = 1024  # images that are touched at once where a whole set is gone through


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Copies that were taken out of a set: `pairs` of (place removed, place kept) in the order before."""

    how: str
    pairs: tuple[tuple[int, int], ...]
    sha256: str  # of the stored bytes before


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Images as they are stored, [count, *shape] in the fixed order; `read` gives them as pixels.

    A stored value v stands for the pixel (v - black) / levels. `sha256` is of the stored bytes in the fixed order.
    `labels` are the classes, int64 [count] from 0, and `classes` their names; None and () where the set has none.
    """

    name: str
    stored: np.ndarray
    levels: float
    test_count: int
    sha256: str
    source: str
    licence: str
    left_out: str = ""  # what lay beside the images and is not among them, in words
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    black: float = 0.0
    removed: Removed | None = None  # the copies that were taken out
    decoder: Callable[[Tensor], Tensor] | None = None  # makes images [N, c, H', W'] in [0, 1] of stored latents

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
        return self._pixels(self.stored[start:stop])

    def decoded(self, pixels: Tensor) -> Tensor:
        """What people see: `pixels` [N, C, H, W] clamped to [0, 1], or the images that they are latents of."""
        if self.decoder is None:
            return pixels.clamp(0, 1)
        return self.decoder(pixels * self.levels + self.black)

    def at(self, places: np.ndarray) -> Tensor:
        """Images at `places` of the fixed order as pixels, [len(places), C, H, W]."""
        return self._pixels(self.stored[places])

    def _pixels(self, stored: np.ndarray) -> Tensor:
        images = torch.from_numpy(stored.astype(np.float32))
        if self.black:
            images.sub_(self.black)
        return images if self.levels == 1 else images.div_(self.levels)


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Training and test images in model space, and the way back to pixels."""

    train: Tensor  # [n, *shape] float32
    test: Tensor  # [test_count, *shape] float32
    mean: Tensor  # [C, 1, 1] float32; [1] and zero for points
    scale: float
    decoded: Callable[[Tensor], Tensor] | None = None  # `Dataset.decoded`, of latents that have a decoder

    def to_images(self, x: Tensor) -> Tensor:
        """What people see of model-space images x [N, C, H, W]: pixels in [0, 1], or what latents decode to."""
        pixels = self.to_pixels(x)
        return pixels.clamp(0, 1) if self.decoded is None else self.decoded(pixels)

    def to_pixels(self, x: Tensor) -> Tensor:
        """Pixels of model-space images x [..., C, H, W], on the device of x."""
        return x / self.scale + self.mean.to(x)


def split(dataset: Dataset, cfg: DataConfig) -> Split:
    """Subset `cfg.index` of `cfg.n` images and the test split. Raises InputError where the two would overlap."""
    check_subset(dataset, cfg)
    train = dataset.read(cfg.index * cfg.n, (cfg.index + 1) * cfg.n)
    test = dataset.read(dataset.count - dataset.test_count, dataset.count)
    mean = half_of(train) if cfg.halved else channel_mean(train)
    train, test = train.sub_(mean), test.sub_(mean)
    scale = scale_of(train, cfg)
    decoded = None if dataset.decoder is None else dataset.decoded
    return Split(train=train.mul_(scale), test=test.mul_(scale), mean=mean, scale=scale, decoded=decoded)


def scale_of(centred: Tensor, cfg: DataConfig) -> float:
    """The factor of model space: `cfg.scale`, or for auto 1 / standard deviation of the `centred` images [N, ...].

    Raises InputError where these are all the same pixel.
    """
    if cfg.halved:
        return HALF_SCALE
    if not isinstance(cfg.scale, str):
        return cfg.scale
    variance = sum(float(part.double().square().sum()) for part in centred.split(CHUNK)) / centred.numel()
    if not variance > 0:
        raise InputError(
            f"data.scale=auto is 1 over the standard deviation of the training pixels, and all of the {len(centred)} "
            f"training images of {cfg.name} are one flat colour: look at the images, or set data.scale=1."
        )
    return variance**-0.5


def taken(dataset: Dataset, places: np.ndarray) -> Dataset:
    """The images at `places`, in that order, as a data set. Raises InputError where memory has no room for them."""
    needed = float(len(places)) * dataset.stored[:1].nbytes
    memory.check(needed, f"data={dataset.name}", f"for {len(places)} images in another order than they lie on disk")
    stored = dataset.stored[places]
    labels = None if dataset.labels is None else dataset.labels[places]
    return replace(dataset, stored=stored, labels=labels, sha256=content_sha256(stored))


def kept_only(dataset: Dataset, kept: np.ndarray, option: str) -> Dataset:
    """The images at `kept`, ascending, each in the split that it lies in.

    Raises InputError where fewer than two of them are left to train on or to test on, for which `option` is the reason.
    """
    test_count = int((kept >= dataset.count - dataset.test_count).sum())
    if test_count < 2 or len(kept) - test_count < 2:
        raise InputError(
            f"{option} leaves {len(kept) - test_count} images of {dataset.name} to train on and {test_count} to test "
            "on: both need two, so look at the images with `diffmem data`."
        )
    return replace(taken(dataset, kept), test_count=test_count)


def shuffled(dataset: Dataset) -> Dataset:
    """`dataset` in another order, which is always the same."""
    return taken(dataset, permutation(dataset.count, "data order", dataset.name))


def outside_test(dataset: Dataset, limit: int) -> Tensor:
    """Pixels of the first `limit` images outside the test split, or of all where there are fewer."""
    return dataset.read(0, min(limit, dataset.count - dataset.test_count))


def channel_mean(images: Tensor) -> Tensor:
    """Mean of each channel over images [N, C, H, W] and their pixels: [C, 1, 1]. Zero, [1], for points [N, d]."""
    if images.ndim == 2:
        return torch.zeros(1)
    total = sum(chunk.double().sum(dim=(0, 2, 3)) for chunk in images.split(CHUNK))
    return (total / (images.numel() / images.shape[1])).float()[:, None, None]


def half_of(images: Tensor) -> Tensor:
    """1/2 in each channel of images [N, C, H, W]: [C, 1, 1]."""
    return torch.full((images.shape[1], 1, 1), 0.5)


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


def check_same_data(dataset: Dataset, trained_on: str | None, run: Path) -> None:
    """Raises InputError where `dataset` is not the one of checksum `trained_on` that `run` was trained on."""
    if trained_on is None:
        raise InputError(f"{run} does not say what data it was trained on: its meta.json lacks their checksum.")
    if dataset.sha256 != trained_on:
        raise InputError(
            f"data={dataset.name} is not what {run} was trained on (its checksum differs): put the data back as they "
            "were."
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
