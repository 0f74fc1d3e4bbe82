"""Features of images by name: what a Frechet distance is taken in. Images come in [0, 1] pixels, whatever the model.

    fd_pixels   the pixels themselves; right for d <= 64
    fd_pca64    projection on the 64 leading principal components of real images outside the test split

Letters: N images to fit, d values in one image.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from diffmem.errors import InputError
from diffmem.metrics.features.base import Extractor
from diffmem.metrics.features.pca import pca64
from diffmem.metrics.features.pixels import pixels


class _Kind(NamedTuple):
    dim: int | None  # None: as many as the image has values
    fit: Callable[[Tensor], Extractor]


EXTRACTORS = {"fd_pixels": _Kind(None, pixels), "fd_pca64": _Kind(64, pca64)}


def extractor(name: str, fit_images: Tensor) -> Extractor:
    """The extractor called `name`, fitted to `fit_images` [N, ...] (pixels, outside the test split).

    Raises InputError for an unknown name and for images too few or too small to fit it.
    """
    return _kind(name).fit(fit_images)


def dimension(name: str, d: int) -> int:
    """Number of features that `name` makes of an image of `d` values. Raises InputError for an unknown name."""
    return _kind(name).dim or d


def automatic(d: int) -> str:
    """The name that `eval.quality=auto` stands for with images of `d` values."""
    return "fd_pixels" if d <= 64 else "fd_pca64"


def _kind(name: str) -> _Kind:
    if name not in EXTRACTORS:
        raise InputError(f"eval.quality={name} is not one of auto, {', '.join(EXTRACTORS)}.")
    return EXTRACTORS[name]
