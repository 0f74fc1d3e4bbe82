"""Copies inside a data set, exact and near, and the set without them.

    exact   the stored values are equal
    near    the distance in pixels is below NEAR times the median, over at most PROBES images, of the distance between
            an image and its nearest other one: k = 1/3 of f_mem, said of a set and not of a sample

An image is a copy of the first one in the fixed order that is kept and that it is a copy of. So what is kept holds no
two copies of one another, and each copy is taken out of the split it lies in. Where training sees mirrored images too,
a copy of a mirrored image is a copy.

Letters: N images, d values in one image, T images of a tile.
"""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from diffmem.data.cache import prepared
from diffmem.data.dataset import Dataset, Removed, kept_only
from diffmem.definitions import K
from diffmem.rng import permutation

NEAR = K
PROBES = 1024
KIND = "copies"  # of an entry of the cache
TILE = 2048
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Copies:
    """`copy_of` [N]: the place of the kept image that each is a copy of, its own where it is none."""

    copy_of: np.ndarray

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """(copy, kept) in the fixed order."""
        places = np.flatnonzero(self.copy_of != np.arange(len(self.copy_of)))
        return list(zip(places.tolist(), self.copy_of[places].tolist(), strict=True))


def without_copies(dataset: Dataset, how: str, *, mirrored: bool = False) -> Dataset:
    """`dataset` without its `exact` or `near` copies, the order and the place of the split kept; `removed` says which.

    Raises InputError where fewer than two images would be left to train on or to test on.
    """
    found = (exact if how == "exact" else near)(dataset, mirrored=mirrored)
    removed = Removed(how=how, pairs=tuple(found.pairs), sha256=dataset.sha256)
    if not removed.pairs:
        return replace(dataset, removed=removed)
    kept = np.flatnonzero(found.copy_of == np.arange(dataset.count))
    return replace(kept_only(dataset, kept, f"data.deduplicate={how}"), removed=removed)


def exact(dataset: Dataset, *, mirrored: bool = False) -> Copies:
    """The images whose stored values equal those of an earlier one."""
    first: dict[bytes, int] = {}
    copy_of = np.arange(dataset.count)
    for place in range(dataset.count):
        image = dataset.stored[place]
        content = image.tobytes()
        if mirrored:
            content = min(content, np.ascontiguousarray(image[..., ::-1]).tobytes())
        copy_of[place] = first.setdefault(hashlib.blake2b(content, digest_size=16).digest(), place)
    return Copies(copy_of)


def near(dataset: Dataset, *, mirrored: bool = False) -> Copies:
    """The images that are near copies of an earlier one, exact copies among them. Found once, then cached."""
    recipe = {"sha256": dataset.sha256, "near": NEAR, "probes": PROBES, "mirrored": mirrored, "version": 1}
    shape = (dataset.count, np.dtype(np.int64).itemsize)
    found, _ = prepared(KIND, recipe, shape, lambda: iter([_near(dataset, mirrored).view(np.uint8).reshape(shape)]))
    return Copies(np.ascontiguousarray(found).view(np.int64)[:, 0])


def nearest_other(dataset: Dataset, places: np.ndarray, *, mirrored: bool = False) -> np.ndarray:
    """Distance in pixels of each of the distinct images at `places` to the nearest other of them: float64 [N]."""
    centre = _centre(dataset)
    probes = places[np.sort(permutation(len(places), "probes", dataset.name)[:PROBES])]
    rows = _rows(dataset, probes, centre)
    least = torch.full((len(probes),), torch.inf)
    for part in _tiles(places):
        squares = _squares(rows, dataset, part, centre, mirrored)
        squares[torch.from_numpy(probes[:, None] == part[None])] = torch.inf
        least = torch.minimum(least, squares.amin(1))
    return least.clamp(min=0).double().sqrt().numpy()


def _near(dataset: Dataset, mirrored: bool) -> np.ndarray:
    copy_of = exact(dataset, mirrored=mirrored).copy_of
    kept = np.flatnonzero(copy_of == np.arange(dataset.count))
    if len(kept) < 2:
        return copy_of
    log.info("looking for near copies among %d images of %s once", len(kept), dataset.name)
    radius = NEAR * float(np.median(nearest_other(dataset, kept, mirrored=mirrored)))
    centre = _centre(dataset)
    for part in _tiles(kept):
        rows = _rows(dataset, part, centre)
        for earlier in _tiles(kept[: np.searchsorted(kept, part[0])]):
            hits = _squares(rows, dataset, earlier, centre, mirrored) < radius**2
            hits[:, torch.from_numpy(copy_of[earlier] != earlier)] = False
            for row in hits.any(1).nonzero()[:, 0].tolist():
                if copy_of[part[row]] == part[row]:
                    copy_of[part[row]] = earlier[int(hits[row].int().argmax())]
        hits = (_squares(rows, dataset, part, centre, mirrored) < radius**2).tril(-1)
        for row in hits.any(1).nonzero()[:, 0].tolist():
            others = part[hits[row].numpy()]
            others = others[copy_of[others] == others]
            if len(others) and copy_of[part[row]] == part[row]:
                copy_of[part[row]] = others[0]
    return _to_kept(copy_of)


def _to_kept(copy_of: np.ndarray) -> np.ndarray:
    """What an exact copy equals may itself be a near copy: name the image that is kept."""
    return copy_of[copy_of]


def _tiles(places: np.ndarray) -> Iterator[np.ndarray]:
    return (places[start : start + TILE] for start in range(0, len(places), TILE))


def _centre(dataset: Dataset) -> Tensor:
    """The mean of the first images, about which products lose less: [d]."""
    return dataset.read(0, min(TILE, dataset.count)).flatten(1).mean(0)


def _rows(dataset: Dataset, places: np.ndarray, centre: Tensor) -> Tensor:
    """Centred pixels, float32 [T, d]."""
    return dataset.at(places).flatten(1) - centre


def _squares(rows: Tensor, dataset: Dataset, places: np.ndarray, centre: Tensor, mirrored: bool) -> Tensor:
    """Squared distances of centred `rows` [T, d] to the images at `places`, or to the nearer of each and its mirror."""
    images = dataset.at(places)
    views = [images, images.flip(-1)] if mirrored else [images]
    found = [_product(rows, view.flatten(1) - centre) for view in views]
    return found[0] if len(found) == 1 else torch.minimum(*found)


def _product(a: Tensor, b: Tensor) -> Tensor:
    return torch.addmm(a.square().sum(1)[:, None] + b.square().sum(1), a, b.T, alpha=-2)
