"""Data sets in one fixed order, and their splits.

`load` gives a data set, `split` its training subset and test images in model space, `outside_test` the pixels
that a basis may be fitted on. A process loads a set once, whatever subset of it is asked for.
"""

import dataclasses
from functools import lru_cache
from pathlib import Path

from diffmem.config.settings import DataConfig
from diffmem.data import celeba, digits, fashion_mnist, image_folder, mixture
from diffmem.data.dataset import Dataset, Split, outside_test, split

__all__ = ["Dataset", "Split", "load", "outside_test", "split"]

LOADERS = {
    "digits": digits.load,
    "fashion_mnist": fashion_mnist.load,
    "image_folder": image_folder.load,
    "celeba": celeba.load,
    "mixture": mixture.load,
}


def load(cfg: DataConfig) -> Dataset:
    """The data set that `cfg` names. Raises InputError where it can't be found or read, or is not of that shape."""
    root = None if cfg.root is None else str(Path(cfg.root).expanduser().resolve())
    return _load(dataclasses.replace(cfg, root=root, n=2, index=0, scale=1.0))


@lru_cache(maxsize=4)
def _load(cfg: DataConfig) -> Dataset:
    return LOADERS[cfg.name](cfg)
