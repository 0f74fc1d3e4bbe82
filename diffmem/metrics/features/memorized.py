"""f_mem in a feature space, as columns of a row: the gap ratio d1/d2 of features, its null and its threshold.

Where k is null:RATE it is calibrated in these features, so that pixels and features mean the same by a copy.
Source: Yoon et al. 2023 (the ratio); Somepalli et al. 2023, "Diffusion art or digital forgery?" (features).

Letters: M samples, N held-out images.
"""

import torch
from torch import Tensor

from diffmem.definitions import null_rate
from diffmem.metrics import calibration
from diffmem.metrics.features.base import Extractor
from diffmem.metrics.features.cache import known_features
from diffmem.metrics.features.gap import FeatureIndex
from diffmem.metrics.memorization import fraction_columns, memorized_fraction
from diffmem.metrics.search import TrainingIndex

NAME = "f_mem_features"


class InFeatures:
    """f_mem in the features of `by` against the training images of `index`; `shared` are the columns of the null.

    Images are in pixels, here as in `index`; `heldout` [N, ...] are those of the null. `k` is a number, or null:RATE.
    """

    def __init__(self, by: Extractor, index: TrainingIndex, heldout: Tensor, k: float | str) -> None:
        self._index = features_of(by, index)
        near = self._index.nearest_two(heldout)
        self.k = calibration.threshold(k, near)
        self.shared = fraction_columns(f"{NAME}_null", memorized_fraction(near.d1, near.d2, self.k))
        if null_rate(k) is not None:
            self.shared[f"{NAME}_threshold"] = self.k

    def columns(self, pixels: Tensor) -> dict[str, float]:
        """f_mem_features of samples `pixels` [M, ...], with its count and Wilson interval."""
        near = self._index.nearest_two(pixels)
        return fraction_columns(NAME, memorized_fraction(near.d1, near.d2, self.k))


def features_of(by: Extractor, index: TrainingIndex) -> FeatureIndex:
    """The training images of `index`, in pixels, in the features of `by`, which are kept where a network gives them."""
    return FeatureIndex(
        index,
        lambda images: torch.from_numpy(by(images)),
        known=lambda images: torch.from_numpy(known_features(by, images)),
    )
