"""The labels that a network is told: of the training images, of the held-out ones, and of the samples.

    true     the set's own
    random   drawn for each image of the set, whatever the subset: they say nothing of what is seen
    unique   one a training image, so that a label names it; a held-out image has the one of a training image, which
             says nothing of it (Gu et al. 2023)

Samples have the labels of the training images, in one keyed order again and again: as often as in training.

Letters: M samples, n training images, N held-out images.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmem import rng
from diffmem.config.data import RANDOM, UNIQUE, DataConfig
from diffmem.data.dataset import Dataset, content_sha256
from diffmem.errors import InputError

KEY = "labels_sha256"


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels from 0 to `classes` - 1; the label `classes` stands for none."""

    train: Tensor  # [n] int64
    test: Tensor  # [N] int64
    classes: int

    def of_samples(self, count: int) -> Tensor:
        """The labels of `count` samples, int64 [count]: the first ones of a larger number."""
        order = rng.permutation(len(self.train), "sampling labels")
        return self.train[torch.from_numpy(order)[torch.arange(count) % len(order)]]


def labels_of(dataset: Dataset, cfg: DataConfig, classes: int | None) -> Labels | None:
    """What `data.labels` gives a network of `classes` labels; None where that is false.

    Raises InputError where the set has no labels of its own, or more than the network knows.
    """
    if cfg.labels is False or classes is None:
        return None
    first, held_out = cfg.index * cfg.n, dataset.count - dataset.test_count
    if cfg.labels == UNIQUE:
        own = torch.arange(cfg.n)
        return Labels(own, torch.arange(dataset.test_count) % cfg.n, classes)
    everyone = (
        rng.indices(classes, (dataset.count,), "random labels") if cfg.labels == RANDOM else _own(dataset, classes)
    )
    labels = torch.from_numpy(everyone)
    return Labels(labels[first : first + cfg.n], labels[held_out:], classes)


def recorded(dataset: Dataset, cfg: DataConfig) -> dict[str, str]:
    """What a run's meta.json keeps of the set's own labels, where the network is told them."""
    if cfg.labels is not True or dataset.labels is None:
        return {}
    return {KEY: content_sha256(dataset.labels)}


def check_same_labels(dataset: Dataset, cfg: DataConfig, about: Mapping[str, Any], run: Path) -> None:
    """Raises InputError where the labels are not those of `about`, `data` in the meta.json of `run`."""
    known = recorded(dataset, cfg)
    if KEY in about and known.get(KEY) != about[KEY]:
        raise InputError(
            f"the labels of data={dataset.name} are not those that {run} was trained with: put them back as they were."
        )


def _own(dataset: Dataset, classes: int) -> np.ndarray:
    """The set's own labels, int64 [count]."""
    if dataset.labels is None:
        raise InputError(
            f"data.labels=true needs labels, and data={dataset.name} has none: give images that have them, or use "
            f"data.labels={RANDOM}, {UNIQUE} or false."
        )
    largest = int(dataset.labels.max())
    if largest >= classes:
        raise InputError(
            f"model.classes={classes} is fewer than the {largest + 1} labels of data={dataset.name}: use "
            f"model.classes={largest + 1}."
        )
    return dataset.labels
