"""What crosses from the rooms that hold torch to those that draw and write: a sample sheet, a film, a
comparison, a claim.

Letters: m samples, S checkpoints. numpy and pandas alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diffmem.definitions import K
from diffmem.errors import InputError


@dataclass(frozen=True)
class SampleSheet:
    """Generated samples of one run at one step, beside their nearest training images.

    samples, nearest: [m, C, H, W] pixels in [0, 1]; ratio: [m] d1/d2; memorized where ratio < k.
    """

    run: str
    n: int
    step: int
    samples: np.ndarray
    nearest: np.ndarray
    ratio: np.ndarray
    k: float = K

    def __post_init__(self) -> None:
        shape, m = np.shape(self.samples), len(self.ratio)
        if len(shape) != 4 or shape[1] not in (1, 3) or np.shape(self.nearest) != shape or m != shape[0]:
            raise InputError(
                f"the sample sheet of {self.run} at step {self.step} has samples {shape}, nearest "
                f"{np.shape(self.nearest)} and {m} ratios: give [m, C, H, W] twice, with C = 1 or 3, and m ratios."
            )

    @property
    def memorized(self) -> np.ndarray:
        """bool [m]"""
        return np.asarray(self.ratio) < self.k


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a figure is said to show.

    `published` is a number, or a range (low, high) of which an end may be infinite; None where nothing was published.
    `why` says why the reduced runs disagree, where they do.
    """

    words: str
    published: float | tuple[float, float] | None = None
    why: str = ""


class CopyPair(NamedTuple):
    """An image that is a copy of another: their places in the fixed order, and their distance in pixels."""

    copy: int
    of: int
    distance: float


@dataclass(frozen=True, kw_only=True)
class NullAtN:
    """f_mem and p_train of held-out images against n training images, each as (value, low, high)."""

    n: int
    held_out: int
    f_mem: tuple[float, float, float]
    p_train: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class DataCard:
    """What a data set holds. Images are [m, C, H, W] in [0, 1]; of points, `examples` and `mean` are [m, d].

    spectrum: eigenvalues of the covariance, descending; classes: name -> count; exact, near: pairs, the nearest first;
    pictures: [pairs, 2, C, H, W] of the first near, then exact pairs.
    """

    name: str
    count: int
    test_count: int
    shape: tuple[int, ...]
    sha256: str
    source: str
    licence: str
    left_out: str
    removed: int
    classes: dict[str, int]
    spectrum: NDArray[np.float64]
    examples: NDArray[np.float32]
    mean: NDArray[np.float32]
    exact: tuple[CopyPair, ...]
    near: tuple[CopyPair, ...]
    pictures: NDArray[np.float32]
    null: NullAtN

    @property
    def effective_dimension(self) -> float:
        """(Σ λ)² / Σ λ² of the spectrum: how many directions carry the variance, were they alike."""
        return float(self.spectrum.sum() ** 2 / (self.spectrum**2).sum())

    def directions(self, share: float) -> int:
        """The fewest directions that carry this `share` of the variance."""
        return int(np.searchsorted(np.cumsum(self.spectrum) / self.spectrum.sum(), share) + 1)


@dataclass(frozen=True)
class Film:
    """The same m generated samples of one run at its S checkpoints, beside their nearest training images.

    steps: [S] ascending; samples, nearest: uint8 [S, m, C, H, W] with C = 1 or 3; ratio: [S, m] d1/d2; memorized
    where ratio < k.
    """

    run: str
    n: int
    steps: NDArray[np.int64]
    samples: NDArray[np.uint8]
    nearest: NDArray[np.uint8]
    ratio: NDArray[np.float64]
    k: float = K


@dataclass(frozen=True)
class CopySheet:
    """Samples of one compared target in pixels, each with its two nearest training images; the first `lowest` are
    those of least d1/d2, the others are drawn at random.

    samples, nearest, second: [m, C, H, W] (points: [m, d]); ratio: [m] d1/d2; memorized where ratio < k.
    """

    target: str
    f_mem: float
    lowest: int
    samples: np.ndarray
    nearest: np.ndarray
    second: np.ndarray
    ratio: np.ndarray
    k: float = K


@dataclass(frozen=True)
class Measure:
    """A measure of the panel. `direction` is +1 where higher means more memorized, -1 where lower does."""

    words: str
    direction: int
    source: str


@dataclass(frozen=True)
class Comparison:
    """Compared targets, each table as its csv has it.

    table      one row a target: f_mem with count, intervals and null, coverage, the panel's measures with their nulls
    samples    one row a target and sample: d1, d2, ratio, nearest, second, memorized
    pairs      one row a pair of targets: discordant counts, p-value, interval of the difference, consistency, overlap
    copied     one row a training image that is copied and a target that copies it: by how many samples
    denoising  one row a target and noise level: PSNR on training and held-out images, distance to the empirical score
    ranks      one row a measure: the rank of each target, 1 = memorizes most
    correlations  one row a training and a pair of measures: Spearman's over its checkpoints
    overall    Cochran's Q over all paired targets, {} where fewer than three are
    sheets     for each target, the images of its sheet
    notes      what was left out, and why
    measures   the panel by name
    """

    table: pd.DataFrame
    samples: pd.DataFrame
    pairs: pd.DataFrame
    copied: pd.DataFrame
    denoising: pd.DataFrame
    ranks: pd.DataFrame
    correlations: pd.DataFrame
    overall: Mapping[str, Any]
    sheets: Sequence[CopySheet]
    notes: Sequence[str]
    measures: Mapping[str, Measure]
    k: float = K
