"""8x8 handwritten digits of the UCI repository: 1,797 gray images that lie beside this file, no download.

`digits.npz` holds `images`, uint8 [1797, 8, 8], ink counted from 0 to 16, and `labels`, as scikit-learn ships them.
"""

from importlib import resources

import numpy as np

from diffmem.config.data import DigitsData
from diffmem.data.dataset import Dataset, check_shape, content_sha256
from diffmem.rng import permutation

LEVELS = 16  # ink is counted from 0 to 16
TEST_COUNT = 500


def load(cfg: DigitsData) -> Dataset:
    """All digits as [1797, 1, 8, 8]. Raises InputError for another data.size or data.channels."""
    check_shape(cfg, (1, 8, 8))
    with resources.files("diffmem.data").joinpath("digits.npz").open("rb") as file:
        bundled = dict(np.load(file))
    order = permutation(len(bundled["images"]), "data order", cfg.name)
    stored = bundled["images"][order, None]
    return Dataset(
        name=cfg.name,
        stored=stored,
        levels=LEVELS,
        test_count=TEST_COUNT,
        sha256=content_sha256(stored),
        source="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning "
        "Repository, 1998 (its test part, as scikit-learn ships it)",
        licence="CC BY 4.0",
        labels=bundled["labels"][order].astype(np.int64),
        classes=tuple("0123456789"),
    )
