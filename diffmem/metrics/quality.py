"""How good samples are, against held-out images: every measure of it.

    mmd_pixels        kernel distance, 1000 x the unbiased squared MMD; lower is better, near zero for real images
    precision, recall share of samples that look real; share of real images that the samples cover
    outside           share of pixel values outside [0, 1]

and the measures of `standard` in the spaces that are asked for, such as fd_pca64 or kid_efficientnet_lite0.

Distances are taken after values are clamped to [0, 1], as an image is shown; `outside` is counted before. Points that
are no images are not clamped and have no `outside`.

Letters: M samples, N test images, D features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from torch import Tensor

from diffmem.definitions import derived
from diffmem.metrics.features.base import Extractor
from diffmem.metrics.features.cache import known_features
from diffmem.metrics.kernel import NAME, KernelDistance
from diffmem.metrics.precision_recall import precision_recall
from diffmem.metrics.standard import MEASURES, Compare

Asked = Sequence[tuple[str, Extractor]]  # names of `standard.MEASURES`, and the features of each


class _Ready(NamedTuple):
    """A measure against the test images' features."""

    measure: str
    extractor: Extractor
    compare: Compare


@dataclass(frozen=True, eq=False)
class Quality:
    """Measures against one set of test images; `Quality.against(images, asked)` makes it."""

    images: Tensor  # [N, ...] pixels
    kernel: KernelDistance
    ready: tuple[_Ready, ...]

    @classmethod
    def against(cls, images: Tensor, asked: Asked) -> Self:
        """Measures against test `images` [N, ...] in pixels. Raises InputError as their parts do."""
        features = {extractor.name: known_features(extractor, images) for _, extractor in asked}
        ready = (_Ready(name, by, MEASURES[name].against(features[by.name])) for name, by in asked)
        return cls(images, KernelDistance.to(images), tuple(ready))

    def __call__(self, pixels: Tensor, *, known: bool = False) -> dict[str, float]:
        """The columns of samples `pixels` [M, ...], not clamped. Raises InputError as their parts do.

        `known` ones come again in other runs, so what a network gives for them is kept. A measure is absent where there
        are fewer samples than it needs.
        """
        columns: dict[str, float] = {}
        if pixels.ndim == 4:
            columns["outside"] = float(((pixels < 0) | (pixels > 1)).double().mean())
            pixels = pixels.clamp(0, 1)
        value, low, high = self.kernel(pixels)
        columns |= {NAME: value, f"{NAME}_low": low, f"{NAME}_high": high}
        columns["precision"], columns["recall"] = precision_recall(pixels, self.images)
        features: dict[str, np.ndarray] = {}
        for name, extractor, compare in self.ready:
            space = extractor.name
            if len(pixels) < MEASURES[name].least(extractor.dim):
                continue
            if space not in features:
                features[space] = known_features(extractor, pixels) if known else extractor(pixels)
            columns |= {_column(key, space): value for key, value in compare(features[space]).items()}
        return columns


def halves(images: Tensor, asked: Asked) -> dict[str, float]:
    """The null of every measure, one half of test `images` [N, ...] against the other: `<measure>@halves`.

    Absent are those that half of the images are too few for.
    """
    middle = len(images) // 2
    enough = [(name, by) for name, by in asked if middle >= MEASURES[name].least(by.dim)]
    found = Quality.against(images[middle:], enough)(images[:middle], known=True)
    return {f"{name}@halves": value for name, value in found.items() if not derived(name)}


def _column(key: str, space: str) -> str:
    """fd_low in pca64 is fd_pca64_low."""
    measure, _, end = key.partition("_")
    return f"{measure}_{space}_{end}" if end else f"{measure}_{space}"
