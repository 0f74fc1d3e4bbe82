"""What is compared: a `Target` draws samples from given noise, or holds samples, and names its training images.

Everything meets in one space, the pixels: [0, 1] for images, the coordinates themselves for the points of a mixture.
A network works in a model space of its own, (pixels - mean) x scale. d1/d2 does not depend on either.

Letters: M samples, n training images, N held-out images, each of `shape` ([C, H, W], or [d] for points).
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmem.diffusion.process import Denoiser, Process
from diffmem.diffusion.sampler import initial_noise
from diffmem.errors import InputError


@dataclass(frozen=True, eq=False)
class ImageSets:
    """The images a target was trained on, and held-out ones like them (None: there are none)."""

    name: str
    train: Tensor  # [n, *shape] float32 pixels
    heldout: Tensor | None  # [N, *shape]
    notes: tuple[str, ...] = ()  # what was left out of them
    flips: bool = False  # whether the target was trained on their mirror images too

    def __post_init__(self) -> None:
        if len(self.train) < 2:
            raise InputError(
                f"{self.name} gives {len(self.train)} training image{'s' * (len(self.train) != 1)}: d1/d2 needs two."
            )
        if self.heldout is not None and self.heldout.shape[1:] != self.train.shape[1:]:
            raise InputError(
                f"held-out images of shape {tuple(self.heldout.shape[1:])} do not fit training images of "
                f"{tuple(self.train.shape[1:])}: give images of one shape."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.train.shape[1:])

    @cached_property
    def keys(self) -> list[str]:
        """The content of each training image as a short hash, [n]: equal images have equal keys, in any set."""
        return image_keys(self.train)

    @cached_property
    def identity(self) -> str:
        """Eight hex digits of the training images, their order, and whether their mirror images count."""
        return _identity([*self.keys, "flips"] if self.flips else self.keys)

    @cached_property
    def heldout_identity(self) -> str | None:
        """Eight hex digits of the held-out images and their order."""
        return None if self.heldout is None else _identity(image_keys(self.heldout))


@dataclass(frozen=True)
class Space:
    """Model space of images, (pixels - mean) x scale; `mean` broadcasts over [M, *shape]."""

    mean: Tensor
    scale: float

    def to_model(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean.to(pixels)) * self.scale

    def to_pixels(self, x: Tensor) -> Tensor:
        return x / self.scale + self.mean.to(x)


@dataclass(frozen=True, eq=False)
class Model:
    """A denoiser `(x, t) -> epsilon` in model space, its process, and its way from noise to samples.

    The denoiser is None of a network that knows nothing without a label.
    """

    denoiser: Denoiser | None
    process: Process
    space: Space
    sample: Callable[[Tensor], Tensor]  # noise [M, *shape] -> model space


@dataclass(frozen=True, eq=False, kw_only=True)
class Target:
    """One row of the comparison.

    `load(device)` gives the model; it is None where there are only `samples`, whose noise nobody knows.
    """

    label: str
    kind: str  # run, reference, diffusers, samples, empirical, population
    images: ImageSets
    group: str  # targets of one group are checkpoints of one training
    step: int | None = None
    load: Callable[[torch.device], Model] | None = None
    samples: Tensor | None = None  # [M, *shape] pixels
    how: str = ""  # how samples are drawn, in words
    content: str = ""  # hash of the weights or samples
    parameters: int = 0  # of the network, about
    row: Mapping[str, Any] = field(default_factory=dict)  # of a run's metrics.jsonl at this step, and its k
    notes: list[str] = field(default_factory=list)

    @property
    def paired(self) -> bool:
        """Whether sample m starts from the same noise as sample m of every other paired target."""
        return self.load is not None

    def draw(self, count: int, model: Model | None) -> Tensor:
        """`count` samples in pixels [count, *shape] on the CPU; made elsewhere: as many as there are, at most."""
        if model is None:
            assert self.samples is not None
            return self.samples[:count]
        device = model.process.alpha_bar.device
        noise = initial_noise(count, self.images.shape).to(device)
        return model.space.to_pixels(model.sample(noise)).float().cpu()


def image_keys(images: Tensor) -> list[str]:
    """The content of each of `images` [N, *shape] as a short hash, [N]."""
    return [hashlib.blake2b(row.tobytes(), digest_size=8).digest().hex() for row in _rows(images)]


def _identity(keys: list[str]) -> str:
    return hashlib.sha256("".join(keys).encode()).hexdigest()[:8]


def heldout_images(train: Tensor, heldout: Tensor, path: Path) -> tuple[Tensor, tuple[str, ...]]:
    """`heldout` without the images that are in `train`, and what is said of these.

    Raises InputError where they are half of them or more: then these are no held-out images.
    """
    known = set(image_keys(train))
    kept = [place for place, key in enumerate(image_keys(heldout)) if key not in known]
    same = len(heldout) - len(kept)
    if 2 * same >= len(heldout):
        raise InputError(
            f"--heldout={path}: {same} of its {len(heldout)} images are training images, and held-out images are those "
            "that the model never saw: give others, or leave --heldout out."
        )
    if not same:
        return heldout, ()
    return heldout[kept], (f"{same} of the {len(heldout)} images of {path} are training images, and were left out.",)


def _rows(images: Tensor) -> list[np.ndarray]:
    """The images one by one as arrays; -0.0 equals 0.0."""
    return list((images.detach().flatten(1) + 0.0).numpy())
