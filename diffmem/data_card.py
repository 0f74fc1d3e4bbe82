"""The card of a data set: what it holds, how often it repeats itself, and what a run on n of its images starts from.

    spectrum  eigenvalues of the covariance of at most SAMPLE images outside the test split, in pixels squared
    copies    exact and near ones (`data.copies`)
    null      f_mem and p_train of held-out images in the place of samples, at this n: what no memorization gives

Letters: N images, n training images, d values in one image.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmem.config.data import Data
from diffmem.data import Dataset, load, outside_test, split
from diffmem.data.copies import Copies, exact, near
from diffmem.definitions import K
from diffmem.metrics import bias, memorization
from diffmem.metrics.mirrored import training_index
from diffmem.records import CopyPair, DataCard, NullAtN

SAMPLE = 2048  # images whose covariance is taken
EXAMPLES = 60
PAIRS = 8  # pairs of copies whose pictures are shown


def data_card(cfg: Data, *, pictures: bool = True) -> DataCard:
    """The card of the set that `cfg` names, with the null of its training subset; without `pictures`, no image of it.

    Raises InputError as `load` and `split` do.
    """
    dataset = load(cfg)
    null = _null(dataset, cfg)
    same, close = (_pairs(dataset, find(dataset, mirrored=cfg.flips), cfg.flips) for find in (exact, near))
    known = {(pair.copy, pair.of) for pair in same}
    close = [pair for pair in close if (pair.copy, pair.of) not in known and pair.distance > 0]
    images = outside_test(dataset, SAMPLE)
    return DataCard(
        name=cfg.name,
        count=dataset.count,
        test_count=dataset.test_count,
        shape=dataset.shape,
        sha256=dataset.sha256,
        source=dataset.source,
        licence=dataset.licence,
        left_out=dataset.left_out,
        removed=0 if dataset.removed is None else len(dataset.removed.pairs),
        classes=_classes(dataset),
        spectrum=spectrum(images),
        examples=_seen(dataset, dataset.read(0, min(EXAMPLES, dataset.count) if pictures else 0)),
        mean=_seen(dataset, images.mean(0, keepdim=True)),
        exact=tuple(same),
        near=tuple(close),
        pictures=_pictures(dataset, [*close, *same] if pictures else []),
        null=null,
    )


def spectrum(images: Tensor) -> np.ndarray:
    """Eigenvalues of the covariance of `images` [N, ...], descending, above rounding: float64 [at most min(N - 1, d)].

    Of the N x N products where these are fewer than d x d.
    """
    rows = images.flatten(1).double()
    rows = rows - rows.mean(0)
    product = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    values = torch.linalg.eigvalsh(product).flip(0) / max(len(rows) - 1, 1)
    return values[values > values.max() * 1e-12][: max(len(rows) - 1, 1)].numpy()


def _null(dataset: Dataset, cfg: Data) -> NullAtN:
    parts = split(dataset, cfg)
    index = training_index(parts.train, flips=cfg.flips)
    share = memorization.null_columns(index.nearest_two(parts.test), K)
    own = bias.Bias(index, parts.test).null
    return NullAtN(
        n=cfg.n,
        held_out=len(parts.test),
        f_mem=(share["f_mem_null"], share["f_mem_null_low"], share["f_mem_null_high"]),
        p_train=(own.value, own.low, own.high),
    )


def _pairs(dataset: Dataset, copies: Copies, mirrored: bool) -> list[CopyPair]:
    """Pairs of a copy and what it is a copy of, with their distance in pixels (of the nearer view)."""
    found = []
    for copy, of in copies.pairs:
        a, b = dataset.at(np.array([copy, of])).double()
        distance = min(float((a - view).norm()) for view in ((b, b.flip(-1)) if mirrored else (b,)))
        found.append(CopyPair(copy, of, distance))
    return sorted(found, key=lambda pair: (pair.distance, pair.copy))


def _classes(dataset: Dataset) -> dict[str, int]:
    if dataset.labels is None:
        return {}
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    return dict(zip(dataset.classes, counts.tolist(), strict=True))


def _pictures(dataset: Dataset, pairs: list[CopyPair]) -> np.ndarray:
    """The first pairs as images, [pairs, 2, C, H, W]."""
    shown = pairs[:PAIRS]
    both: Any = [_seen(dataset, dataset.at(np.array([pair.copy, pair.of]))) for pair in shown]
    return np.stack(both) if both else np.empty((0, 2, *dataset.shape), np.float32)


def _seen(dataset: Dataset, pixels: Tensor) -> np.ndarray:
    """Images as people see them; points as they are."""
    return (dataset.decoded(pixels) if pixels.ndim == 4 else pixels).numpy()
