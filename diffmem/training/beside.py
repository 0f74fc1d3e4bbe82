"""What an evaluation costs beside the network: nearest images, bias, quality, the noise of the losses; the bookends.

It is measured on images of noise with a network that costs nothing: in full where that is quick, else on fewer images,
and taken in proportion to the pairs of images that are compared. So it is a rough number for large evaluations.

Letters: M samples, n training images, N test images, d values in one image.
"""

import json
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffmem.config.data import MixtureData
from diffmem.config.settings import Config
from diffmem.data.dataset import Dataset, split
from diffmem.training.evaluate import Evaluator
from diffmem.training.speed import CALLS, least, seconds

VALUES = 2**28  # compared at most where it is measured
LEAST = 128  # images measured at least: twice the dimension of any feature
GAUSSIAN = 2048  # real images behind the Gaussian of the bookends, at most


@dataclass(frozen=True)
class Beside:
    """Seconds, and bytes of text."""

    first: float  # once in a run: the null, the bookends
    each: float  # a checkpoint
    row_bytes: int
    bookend_bytes: int


class BesideCost:
    """Measures on `device` what it has not measured yet of the same sizes."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._known: dict[object, tuple[float, float, float, Beside]] = {}

    def __call__(self, config: Config, held_out: int, real: int) -> Beside:
        """The cost of the evaluation of `config`, with `held_out` test images and `real` ones outside them."""
        cap = max(LEAST, math.isqrt(VALUES // config.data.d))
        whole = _Counts(config.eval.samples, config.data.n, held_out, real)
        part, calls, d = whole.at_most(cap), min(CALLS, config.sampler.calls), config.data.d
        smaller = replace(
            config,
            data=replace(config.data, n=part.train, index=0),
            eval=replace(
                config.eval,
                samples=part.samples,
                f_mem_width=None,
                quality_samples=min(config.eval.quality_count, part.samples),
                test_images=min(config.eval.test_images, cap),
            ),
            sampler=replace(config.sampler, calls=calls),
        )
        key = (part, smaller.data, smaller.eval, smaller.sampler, config.diffusion, config.train.t)
        if key not in self._known:
            self._known[key] = _measured(smaller, part, self._device)
        first, drawn, losses, text = self._known[key]
        losses *= _loss_draws(config) / _loss_draws(smaller)
        if isinstance(config.data, MixtureData):
            losses *= whole.train / part.train  # the exact score of the training set
        first *= whole.first_pairs(config.sampler.calls, d) / part.first_pairs(calls, d)
        return replace(text, first=first, each=drawn * whole.pairs / part.pairs + losses)


def draws(images: int, least: int) -> int:
    """Images times repeats behind one loss on `images` images: `least`, and each image as often as the others."""
    return math.ceil(least / images) * images


class _Free(nn.Module):
    """A network that costs nothing."""

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        return x


@dataclass(frozen=True)
class _Counts:
    """Images of each kind that an evaluation compares."""

    samples: int  # M
    train: int  # n
    test: int  # N
    real: int  # outside the test split

    def at_most(self, cap: int) -> "_Counts":
        """As many, but for what is past `cap`; of training images a power of two, so that few numbers are tried."""
        train = 1 << min(self.train, cap).bit_length() - 1
        return _Counts(min(self.samples, cap), train, min(self.test, cap), min(self.real, cap))

    @property
    def pairs(self) -> int:
        """Pairs compared for one checkpoint: nearest images, bias, kernel distance, precision and recall."""
        return 2 * self.samples * self.train + self.samples * self.test + self._quality

    def first_pairs(self, calls: int, d: int) -> int:
        """Pairs compared once in a run: the null, and seven bookends, one sampled by two products a call."""
        null = 2 * self.test * self.train + self.test**2
        return null + 7 * self._quality + 2 * calls * self.samples * min(self.real, GAUSSIAN, d)

    @property
    def _quality(self) -> int:
        return 3 * self.samples * self.test + 2 * self.samples**2 + self.test**2


def _measured(config: Config, counts: _Counts, device: torch.device) -> tuple[float, float, float, Beside]:
    """Seconds of the evaluation that `config` asks for on images of noise: the first time, of samples, of losses."""
    dataset = _noise(config.data.shape, max(counts.real, counts.train), counts.test, config.classes or 1)
    made: list[Evaluator] = []
    row: dict[str, Any] = {}
    first = seconds(lambda: made.append(Evaluator(config, dataset, split(dataset, config.data), device)))
    evaluator, drawn = made[0], 0.0
    losses = least(lambda: row.update(evaluator.losses(_Free())))
    if config.can_sample:
        with torch.no_grad():
            drawn = least(lambda: row.update(evaluator.of_samples(evaluator.noise)[0]))
        row |= evaluator.shared
    return first, drawn, losses, Beside(0.0, 0.0, _length(row), _length(evaluator.bookends, indent=1))


def _loss_draws(config: Config) -> int:
    shown, least = config.eval.test_images, config.eval.loss_draws
    return draws(shown, least) + draws(min(shown, config.data.n), least)


def _noise(shape: tuple[int, ...], outside: int, test: int, classes: int) -> Dataset:
    """Images of noise with labels, as many outside the test split and in it."""
    stored = np.random.default_rng(0).integers(0, 256, (outside + test, *shape), dtype=np.uint8)
    return Dataset(
        name="noise",
        stored=stored,
        levels=255,
        test_count=test,
        sha256="",
        source="made here",
        licence="none needed",
        labels=np.arange(len(stored)) % classes,
    )


def _length(content: object, indent: int | None = None) -> int:
    return len(json.dumps(content, indent=indent)) + 1
