"""Data sets in one fixed order, and their splits.

`load` gives a data set, `split` its training subset and test images in model space, `outside_test` the pixels
that a basis may be fitted on. A process loads a set once, whatever subset of it is asked for.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from diffmem.config.data import (
    CelebaData,
    DataConfig,
    DigitsData,
    FashionMnistData,
    FileData,
    ImageFolderData,
    MixtureData,
)
from diffmem.data import celeba, digits, fashion_mnist, image_folder, mixture
from diffmem.data.dataset import Dataset, Split, outside_test, split

__all__ = ["Dataset", "Split", "load", "outside_test", "split"]

LOADERS: dict[type[DataConfig], Callable[[Any], Dataset]] = {
    DigitsData: digits.load,
    FashionMnistData: fashion_mnist.load,
    ImageFolderData: image_folder.load,
    CelebaData: celeba.load,
    MixtureData: mixture.load,
}


def load(cfg: DataConfig) -> Dataset:
    """The data set that `cfg` names. Raises InputError where it can't be found or read, or is not of that shape."""
    if isinstance(cfg, FileData) and cfg.root is not None:
        cfg = replace(cfg, root=str(Path(cfg.root).expanduser().resolve()))
    return _load(replace(cfg, n=2, index=0, scale=1.0))


@lru_cache(maxsize=4)
def _load(cfg: DataConfig) -> Dataset:
    return LOADERS[type(cfg)](cfg)
