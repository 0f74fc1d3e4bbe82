"""Measures of one class alone: f_mem, p_train and quality of the samples that were given its label.

    f_mem@class3       with f_mem_count@class3 and f_mem_total@class3; against all training images, whatever their class
    p_train@class3     likewise
    mmd_pixels@class3  and the other measures of quality, against the held-out images of the class

A class has columns where it has at least LEAST samples, and a quality where as many held-out images have its label.

Letters: M samples, N held-out images.
"""

import contextlib
from dataclasses import dataclass
from typing import Self

from torch import Tensor

from diffmem.definitions import is_quality
from diffmem.errors import InputError
from diffmem.metrics.memorization import memorized_fraction
from diffmem.metrics.quality import Asked, Quality
from diffmem.metrics.search import NearestTwo
from diffmem.metrics.standard import MEASURES

LEAST = 4


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of samples with `labels` [M], and the quality of those that have one."""

    labels: Tensor
    quality: dict[int, Quality]

    @classmethod
    def of(cls, labels: Tensor, held_out: Tensor, test: Tensor, asked: Asked) -> Self:
        """Of samples with `labels` [M], against `test` images [N, ...] in pixels whose labels are `held_out` [N]."""
        quality: dict[int, Quality] = {}
        for label in _classes(labels):
            images = test[held_out == label]
            enough = [(name, by) for name, by in asked if len(images) >= MEASURES[name].least(by.dim)]
            with contextlib.suppress(InputError):  # equal images have no kernel distance, and the class no quality
                quality |= {label: Quality.against(images, enough)} if len(images) >= LEAST else {}
        return cls(labels, quality)

    def columns(self, nearest: NearestTwo, own: Tensor, pixels: Tensor, k: float) -> dict[str, float]:
        """The columns of M samples (`own` [M]: see `bias`), memorized where d1/d2 < k.

        `pixels` are those of the first samples, of which quality is measured.
        """
        columns: dict[str, float] = {}
        labels = self.labels[: len(own)]
        for label in _classes(labels):
            chosen = labels == label
            copied = memorized_fraction(nearest.d1[chosen], nearest.d2[chosen], k)
            values = {"f_mem": copied.value, "f_mem_count": copied.count, "f_mem_total": copied.total}
            values["p_train"] = float(own[chosen].mean())
            judged = pixels[chosen[: len(pixels)]]
            if label in self.quality and len(judged) >= LEAST:
                found = self.quality[label](judged)
                values |= {name: value for name, value in found.items() if is_quality(name)}
            columns |= {f"{name}@class{label}": value for name, value in values.items()}
        return columns


def _classes(labels: Tensor) -> list[int]:
    """The labels that at least LEAST samples have, ascending."""
    found, counts = labels.unique(return_counts=True)
    return [int(label) for label in found[counts >= LEAST]]
