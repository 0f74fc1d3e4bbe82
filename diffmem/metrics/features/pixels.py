"""The pixels themselves as features: right where an image has few values."""

import numpy as np
from torch import Tensor

from diffmem.metrics.features.base import Extractor, checksum, flat


def pixels(fit_images: Tensor) -> Extractor:
    """The extractor `pixels` of images like `fit_images` [N, ...]."""
    dim = fit_images[0].numel()
    return Extractor("pixels", dim, checksum("pixels", np.array([dim])), flat)
