"""Data sets in one fixed order, and their splits.

`load` gives a data set, `split` its training subset and test images in model space, `outside_test` the pixels
that a basis may be fitted on. A process loads a set once, whatever subset of it is asked for.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from diffmem.arguments import path
from diffmem.config.data import (
    ArrayData,
    CelebaData,
    Cifar10Data,
    DataConfig,
    DigitsData,
    FashionMnistData,
    FileData,
    HubData,
    ImageData,
    ImageFolderData,
    LatentsData,
    MixtureData,
    MnistData,
    OrlFacesData,
    PatchesData,
)
from diffmem.data import (
    array,
    celeba,
    cifar10,
    digits,
    fashion_mnist,
    hub,
    image_folder,
    latents,
    mixture,
    mnist,
    orl_faces,
    patches,
)
from diffmem.data.classes import of_classes
from diffmem.data.copies import without_copies
from diffmem.data.dataset import Dataset, Split, check_same_data, outside_test, split
from diffmem.errors import InputError, reading

__all__ = ["Dataset", "Split", "load", "outside_test", "receive", "split", "trained_on"]

LOADERS: dict[type[DataConfig], Callable[[Any], Dataset]] = {
    DigitsData: digits.load,
    FashionMnistData: fashion_mnist.load,
    ImageFolderData: image_folder.load,
    CelebaData: celeba.load,
    MixtureData: mixture.load,
    MnistData: mnist.load,
    Cifar10Data: cifar10.load,
    OrlFacesData: orl_faces.load,
    PatchesData: patches.load,
    ArrayData: array.load,
    HubData: hub.load,
    LatentsData: latents.load,
}

_RECEIVED: dict[DataConfig, Dataset] = {}


def load(cfg: DataConfig) -> Dataset:
    """The data set that `cfg` names. Raises InputError where it can't be found or read, or is not of that shape."""
    whole = _whole(cfg)
    with reading(f"data={cfg.name}" + (f" data.root={cfg.root}" if isinstance(cfg, FileData) else "")):
        return _RECEIVED.get(whole) or _load(whole)


def receive(cfg: DataConfig, dataset: Dataset) -> None:
    """Have `load` give what another machine sent for what `cfg` names, in this process."""
    _RECEIVED[_whole(cfg)] = dataset


def _whole(cfg: DataConfig) -> DataConfig:
    """What names the set, whatever part of it is asked for."""
    if isinstance(cfg, FileData) and cfg.root is not None and not isinstance(cfg, HubData):
        cfg = replace(cfg, root=os.path.realpath(path("data.root", cfg.root)))
    if isinstance(cfg, ImageData):
        cfg = replace(cfg, center="mean")
    return replace(cfg, n=2, index=0, scale=1.0, labels=False)


def trained_on(cfg: DataConfig, sha256: str | None, run: Path, *, named: bool = True) -> Dataset:
    """The data set of checksum `sha256` that `run` was trained on: this machine's own copy, or what `cfg` names.

    `named` says that the user named `cfg.root`; a folder that only a stored config names is not opened. Raises
    InputError where the set cannot be had, or is no longer the one of that checksum.
    """
    if isinstance(cfg, FileData) and cfg.root is not None:
        kept = image_folder.kept(cfg, sha256)
        if kept is not None:
            return kept
        if not named:
            raise InputError(
                f"its training images lie where its config says, in data.root={cfg.root}: name that folder with "
                f"--data to have it opened."
            )
    dataset = load(cfg)
    check_same_data(dataset, sha256, run)
    return dataset


@lru_cache(maxsize=4)
def _load(cfg: DataConfig) -> Dataset:
    dataset = LOADERS[type(cfg)](cfg)
    if isinstance(cfg, ImageData) and cfg.classes is not None:
        dataset = of_classes(dataset, cfg.classes)
    if isinstance(cfg, ImageData) and cfg.deduplicate is not None:
        return without_copies(dataset, cfg.deduplicate, mirrored=cfg.flips)
    return dataset
