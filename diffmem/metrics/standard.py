"""The standard measures by name: each compares samples with test images in features of both.

    fd     Fréchet distance, with its estimated bias at this M; lower is better
    fdinf  Fréchet distance of ever more samples
    kid    kernel inception distance: squared MMD of a cubic kernel, without bias
    swd    sliced Wasserstein distance
    prdc   precision and recall, density and coverage; higher is better

A measure of a space is `<measure>_<space>`, such as kid_efficientnet_lite0. FID is fd_inception, and nothing else is;
`fid` and `kid` in `eval.quality` are fd_inception and kid_inception.

Letters: M samples, N test images, D features, d values in one image.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from diffmem.definitions import ALIASES
from diffmem.errors import InputError
from diffmem.metrics import density_coverage, fd_infinity, frechet, kid, precision_recall, sliced
from diffmem.metrics.features import extractors
from diffmem.stats.intervals import wilson

Columns = dict[str, float]  # measure, or measure_low and the like -> value
Compare = Callable[[np.ndarray], Columns]  # of features [M, D] of samples


class Standard(NamedTuple):
    """`least(D)`: the fewest samples, and test images. `against`: from features [N, D] of test images."""

    words: str
    least: Callable[[int], int]
    against: Callable[[np.ndarray], Compare]


class Wanted(NamedTuple):
    """A measure in a space, as `word` asked for it."""

    measure: str
    space: str
    word: str

    @property
    def column(self) -> str:
        return f"{self.measure}_{extractors.called(self.space)}"


def wanted(quality: str | Sequence[str], d: int) -> list[Wanted]:
    """The measures that `eval.quality` names for images of `d` values. Raises InputError for one that is none."""
    words = [quality] if isinstance(quality, str) else list(quality)
    found = [_wanted(word, d) for word in words]
    if not found:
        raise InputError("eval.quality=[] names no measure: write eval.quality=auto.")
    spaces: dict[str, str] = {}
    for place, one in enumerate(found):
        earlier = next((other for other in found[:place] if other.column == one.column), None)
        if earlier or spaces.setdefault(extractors.called(one.space), one.space) != one.space:
            raise InputError(f"eval.quality names {one.column} twice (last as {one.word}): name each once.")
    return found


def _wanted(word: str, d: int) -> Wanted:
    if word == "auto":
        return Wanted("fd", extractors.automatic(d), word)
    measure, _, space = ALIASES.get(word, word).partition("_")
    try:
        if measure not in MEASURES:
            raise InputError(f"{measure} is no measure")
        extractors.check_name(space)
    except InputError as error:
        raise InputError(
            f"eval.quality={word} is not one of auto, {', '.join(ALIASES)}, or <measure>_<space> with a measure of "
            f"{', '.join(MEASURES)} ({str(error).rstrip('.')})."
        ) from error
    return Wanted(measure, space, word)


def _fd(images: np.ndarray) -> Compare:
    reference = frechet.statistics(images)

    def compare(samples: np.ndarray) -> Columns:
        distance, (low, high, bias) = frechet.with_jackknife(samples, *reference)
        return {"fd": distance, "fd_low": low, "fd_high": high, "fd_bias": bias}

    return compare


def _fdinf(images: np.ndarray) -> Compare:
    reference = frechet.statistics(images)
    return lambda samples: _ends("fdinf", fd_infinity.fd_infinity(samples, *reference))


def _kid(images: np.ndarray) -> Compare:
    distance = kid.PolynomialDistance.to(images)
    return lambda samples: _ends("kid", distance(samples))


def _swd(images: np.ndarray) -> Compare:
    return lambda samples: _ends("swd", sliced.sliced_wasserstein(samples, images))


def _prdc(images: np.ndarray) -> Compare:
    real = torch.from_numpy(images)

    def compare(samples: np.ndarray) -> Columns:
        drawn = torch.from_numpy(samples)
        precision, recall = precision_recall.precision_recall(drawn, real)
        density, coverage = density_coverage.density_coverage(drawn, real)
        share = wilson(round(precision * len(drawn)), len(drawn))
        return {
            **_ends("precision", (precision, *share)),
            "recall": recall,
            **_ends("density", density),
            **_ends("coverage", coverage),
        }

    return compare


def _ends(name: str, estimate: tuple[float, float, float]) -> Columns:
    return dict(zip((name, f"{name}_low", f"{name}_high"), estimate, strict=True))


MEASURES = {
    "fd": Standard("Fréchet distance", lambda dim: 2 * dim, _fd),
    "fdinf": Standard("Fréchet distance of ever more samples", fd_infinity.least, _fdinf),
    "kid": Standard("kernel inception distance", lambda dim: kid.LEAST, _kid),
    "swd": Standard("sliced Wasserstein distance", lambda dim: sliced.LEAST, _swd),
    "prdc": Standard("precision, recall, density and coverage", lambda dim: density_coverage.NEIGHBOURS + 1, _prdc),
}
