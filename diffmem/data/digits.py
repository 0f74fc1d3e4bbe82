"""8x8 handwritten digits of the UCI repository, through scikit-learn: 1,797 gray images, no download."""

import numpy as np

from diffmem.config.data import DigitsData
from diffmem.data.dataset import Dataset, check_shape, content_sha256
from diffmem.rng import permutation

LEVELS = 16  # ink is counted from 0 to 16
TEST_COUNT = 500


def load(cfg: DigitsData) -> Dataset:
    """All digits as [1797, 1, 8, 8]. Raises InputError for another data.size or data.channels."""
    from sklearn.datasets import load_digits

    check_shape(cfg, (1, 8, 8))
    images = load_digits().images.astype(np.uint8)[:, None]
    stored = images[permutation(len(images), "data order", cfg.name)]
    return Dataset(
        name=cfg.name,
        stored=stored,
        levels=LEVELS,
        test_count=TEST_COUNT,
        sha256=content_sha256(stored),
        source="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning "
        "Repository, 1998 (its test part, as scikit-learn ships it)",
        licence="CC BY 4.0",
    )
