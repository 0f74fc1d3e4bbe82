"""A feature network and what an image must be before it goes in.

    pixels in [0, 1] -> clamped -> 8 bits, where the network's own code reads files -> gray repeated -> resized
                     -> (x - mean) / std -> features

Letters: M images of C channels, D features.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffmem.errors import InputError
from diffmem.metrics.features.base import Extractor
from diffmem.metrics.features.resize import RESIZE

_BATCH = 32  # images in one call of the network


@dataclass(frozen=True, eq=False, kw_only=True)
class Network:
    """`module` maps [M, channels, size, size] to features [M, D] (or [M, D, 1, 1]).

    size: side of its input; None takes images at their own size. resize: how, a name of `resize.RESIZE`.
    mean, std: one for each channel, in [0, 1] pixels. repeat_gray: whether a gray image is repeated in all channels, or
    refused. eight_bits: whether pixels are rounded to 256 levels first, as in a picture file.
    weights_sha256: of the file that the weights come from; by default of the weights themselves.
    """

    module: nn.Module
    size: int | None = None
    resize: str = "clean"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    channels: int = 3
    repeat_gray: bool = True
    eight_bits: bool = False
    weights_sha256: str | None = None

    @cached_property
    def sha256(self) -> str:
        return self.weights_sha256 or state_sha256(self.module)

    @property
    def about(self) -> dict[str, Any]:
        """What decides its features, as it is recorded."""
        return {
            "weights": self.sha256,
            "size": self.size,
            "resize": None if self.size is None else self.resize,
            "mean": list(self.mean),
            "std": list(self.std),
            "gray": "repeated" if self.repeat_gray else "refused",
            "eight_bits": self.eight_bits,
        }

    def extractor(self, name: str, shape: tuple[int, ...], device: torch.device) -> Extractor:
        """Features of images of `shape` (C, H, W). Raises InputError where the network does not take them."""
        self._check(name, shape)
        dim = self.dimension(name, shape)
        return Extractor(name, dim, self.sha256, lambda x: self._rows(x, device), self.about, device.type)

    def dimension(self, name: str, shape: tuple[int, ...]) -> int:
        """D of images of `shape`, found by sending one through. Raises InputError where the network takes none."""
        self._check(name, shape)
        try:
            found = self._features(torch.zeros(1, *shape), torch.device("cpu"))
        except (RuntimeError, ValueError, TypeError) as error:  # whatever the code of a network raises for a bad shape
            raise InputError(
                f"The network {name} does not take images of shape {shape}: {_last_line(error)}. Name the size it "
                "expects, or choose another."
            ) from error
        return found.shape[1]

    def _check(self, name: str, shape: tuple[int, ...]) -> None:
        if len(shape) != 3:
            raise InputError(f"The network {name} takes images, and these data are points of {shape[0]} values.")
        channels = shape[0]
        if channels == 1 and self.channels > 1 and not self.repeat_gray:
            raise InputError(
                f"The network {name} takes images of {self.channels} channels and these are gray: choose one that "
                "takes gray images, or have it repeat them (repeat_gray=True)."
            )
        if channels not in (1, self.channels):
            raise InputError(f"The network {name} takes {self.channels} channels, and these images have {channels}.")

    def _rows(self, images: Tensor, device: torch.device) -> np.ndarray:
        return np.concatenate([self._features(part, device).cpu().double().numpy() for part in images.split(_BATCH)])

    @torch.no_grad()
    def _features(self, images: Tensor, device: torch.device) -> Tensor:
        x = images.to(device, torch.float32).clamp(0, 1)
        if self.eight_bits:
            x = (x * 255).round() / 255
        x = x.expand(-1, self.channels, -1, -1)
        if self.size is not None:
            x = RESIZE[self.resize](x, self.size)
        mean, std = (x.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        features = self.module.to(device).eval()((x - mean) / std)
        if (
            not isinstance(features, Tensor)
            or features.shape != (len(x), features.numel() // len(x), 1, 1)[: features.ndim]
        ):
            shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise InputError(f"A feature network gives [M, D] features, and this one gave {shape}.")
        return features.flatten(1).float()


def state_sha256(module: nn.Module) -> str:
    """SHA-256 of the names and values of a module's weights. Raises InputError where it has none."""
    state = module.state_dict()
    if not state:
        raise InputError("A feature network without weights has no checksum: give a torch.nn.Module that holds them.")
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _last_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1].rstrip(".")
