"""How an image comes to the size of a network, by the names of clean-fid.

    clean              bicubic, antialiased, not rounded: Pillow's, on each channel
    legacy_pytorch     bilinear without antialiasing, aligned at the borders of pixels: pytorch-fid's
    legacy_tensorflow  bilinear without antialiasing, aligned at the first pixel: TensorFlow 1's, inside the first
                       Inception graph, and so in most published FID
    bilinear           bilinear, antialiased: Pillow's, of torchvision's `Resize`

Letters: M images of C channels, S the size.
Source: Parmar, Zhang and Zhu 2022, "On aliased resizing and surprising subtleties in GAN evaluation".
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def clean(x: Tensor, size: int) -> Tensor:
    """[M, C, H, W] in [0, 1] -> [M, C, S, S], clipped to [0, 1]."""
    return F.interpolate(x, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)


def legacy_pytorch(x: Tensor, size: int) -> Tensor:
    return F.interpolate(x, size=(size, size), mode="bilinear")


def legacy_tensorflow(x: Tensor, size: int) -> Tensor:
    """The value at output place i is read at i H / S, with no half pixel added."""
    for dim in (2, 3):
        length = x.shape[dim]
        place = torch.arange(size, device=x.device, dtype=torch.float32) * (length / size)
        low = place.floor().long()
        weight = (place - low).view(-1, *(1,) * (3 - dim))
        below, above = x.index_select(dim, low), x.index_select(dim, (low + 1).clamp(max=length - 1))
        x = below + (above - below) * weight
    return x


def bilinear(x: Tensor, size: int) -> Tensor:
    return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True)


RESIZE: dict[str, Callable[[Tensor, int], Tensor]] = {
    "clean": clean,
    "legacy_pytorch": legacy_pytorch,
    "legacy_tensorflow": legacy_tensorflow,
    "bilinear": bilinear,
}
