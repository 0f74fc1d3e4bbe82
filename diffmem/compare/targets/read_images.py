"""Images of a user as pixels in [0, 1], from a folder of image files or from one tensor in a file.

Tensors are .pt or .pth (read without running code), .npy or .safetensors: [N, C, H, W], or [N, H, W] for gray. uint8 is
0 to 255; floats are in [0, 1], or in [-1, 1] as diffusers trains on, which is told by values below -0.5.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffmem import memory
from diffmem.compare.targets.base import ImageSets, heldout_images
from diffmem.data import decode
from diffmem.data.tensor_file import READERS, load_tensor
from diffmem.errors import InputError

TENSORS = tuple(READERS)
_SLACK = 1e-3  # by which floats may leave their range


@dataclass(frozen=True)
class ImagePaths:
    """The paths of `--train` and `--heldout`."""

    train: Path | None = None
    heldout: Path | None = None

    def images(self, shape: tuple[int, ...] | None, who: Path) -> ImageSets:
        """Training and held-out images of `shape`. Raises InputError where `--train` is missing."""
        if self.train is None:
            raise InputError(f"{who} does not say what it was trained on: give --train IMAGES, a folder or a tensor.")
        train = read_images(self.train, shape, "--train")
        heldout, notes = self.apart(train)
        return ImageSets(f"--train={self.train}", train, heldout, (*self._ignored(), *notes))

    def apart(self, train: Tensor) -> tuple[Tensor | None, tuple[str, ...]]:
        """The held-out images that are not in `train`, None without `--heldout`, and what is said of the others."""
        if self.heldout is None:
            return None, ()
        return heldout_images(train, read_images(self.heldout, tuple(train.shape[1:]), "--heldout"), self.heldout)

    def _ignored(self) -> list[str]:
        folders = [path for path in (self.train, self.heldout) if path is not None and path.is_dir()]
        return [f"{said}." for path in folders if (said := decode.list_images(path)[1])]


def is_images(path: Path) -> bool:
    """Whether `path` is a tensor file by its suffix, or a folder with an image somewhere in it."""
    if path.is_file():
        return path.suffix in TENSORS
    return path.is_dir() and any(file.suffix.lower() in decode.SUFFIXES for file in path.rglob("*"))


def read_images(path: Path, shape: tuple[int, ...] | None, option: str) -> Tensor:
    """All images at `path` in pixels: float32 [N, C, H, W].

    `shape` (C, H, W) is what they must have; images of a folder are cut and resized to it (None: as the first file
    is). `option` names the path in messages. Raises InputError for what cannot be read, no images, another shape, and
    values that are no pixels.
    """
    if not path.exists():
        raise InputError(f"{option}={path} does not exist: give a folder of images or a tensor file.")
    if path.is_dir():
        return _read_folder(path, shape, option)
    if path.suffix not in TENSORS:
        raise InputError(f"{option}={path} is no tensor file: give one of {', '.join(TENSORS)}, or a folder of images.")
    images = _pixels(load_tensor(path), f"{option}={path}")
    if shape is not None and tuple(images.shape[1:]) != shape:
        raise InputError(f"{option}={path} holds images of shape {tuple(images.shape[1:])}, and {shape} is needed.")
    return images


def _read_folder(path: Path, shape: tuple[int, ...] | None, option: str) -> Tensor:
    try:
        names = [name for name, _, _ in decode.list_images(path)[0]]
        channels, height, width = shape or _shape_of(path / names[0])
        if height != width or channels not in (1, 3):
            raise InputError(
                f"{option}={path}: a folder gives square gray or RGB images, and {(channels, height, width)} is "
                "needed: give a tensor file."
            )
        stack = np.stack([decode.decode(path / name, height, channels) for name in names])
    except InputError as error:
        words = str(error).replace(f"data.root={path}", f"{option}={path}").replace("data.root", "the folder")
        raise InputError(words) from error
    return torch.from_numpy(stack).float() / 255


def _shape_of(path: Path) -> tuple[int, int, int]:
    """(C, H, W) that the image at `path` is decoded to: the side of its largest square, gray or RGB."""
    from PIL import Image

    try:
        with Image.open(path, formats=decode.FORMATS) as image:
            side = min(image.size)
            return (1 if image.mode in ("1", "L", "I", "I;16") else 3, side, side)
    except Exception as error:  # broken bytes make a decoder fail in any way
        raise InputError(f"{path} can't be decoded ({error}): mend it or take it out of the folder.") from error


def _pixels(images: Tensor, where: str) -> Tensor:
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.numel() == 0:
        raise InputError(f"{where} has shape {tuple(images.shape)} and no images: save [N, C, H, W] with N >= 1.")
    memory.check(4.0 * images.numel(), where, f"for {len(images)} images as float32")
    if images.dtype == torch.uint8:
        return images.float() / 255
    if not images.is_floating_point():
        raise InputError(f"{where} holds {images.dtype}: save uint8 or floats.")
    images = images.float()
    low, high = float(images.min()), float(images.max())  # NaN goes through both
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int((~images.flatten(1).isfinite().all(1)).sum())
        raise InputError(f"{where}: {bad} of {len(images)} images hold NaN or infinite values.")
    first = -1 if low < -0.5 else 0
    if low < first - _SLACK or high > 1 + _SLACK:
        raise InputError(f"{where} has values from {low:.3g} to {high:.3g}: clip to [0, 1], or to [-1, 1] throughout.")
    return images if first == 0 else (images + 1) / 2
