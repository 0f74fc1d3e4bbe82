"""The two nearest distinct training images of each sample, found exactly, in memory that a tile bounds.

    d1 <= d2: distances of sample x [d] to the nearest training image and to the nearest one that differs from it

The matrix product that makes the search fast cancels for near copies in float32, just where d1/d2 decides.
So it only draws up a shortlist. With y = x - c and b = a - c about the mean image c, |y - b|^2 - |y|^2 =
|b|^2 - 2 y.b, and the product's float32 error in this is at most eta (|b|^2 + 2 |y| |b|), eta = (terms summed + a few)
2^-24 (Higham 2002, "Accuracy and stability of numerical algorithms", section 3.1). Every image that this error could
bring to the second place is measured again in float64, from the images themselves.

Letters: M samples, n training images, d values in one image, S and T rows of a tile of samples and of images.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmem import arguments
from diffmem.errors import InputError

ImageArray = Tensor | np.ndarray  # [count, ...]; an array may be a memory map

_UNIT_32, _UNIT_64 = 2.0**-24, 2.0**-53
_INNER = 1024  # products are summed in blocks of this many values, which keeps the error bound flat in d
_TILE_VALUES = 2**22
_TILE_ROWS = 2048
_PAIR_VALUES = 2**19
_HUGE = 2.0**100  # beyond this a float32 product could overflow; there the float64 rounding alone lists every image


@dataclass(frozen=True)
class NearestTwo:
    """Of each sample: distances (float64 [M]) and places (int64 [M]) of its two nearest distinct training images."""

    d1: Tensor
    d2: Tensor
    i1: Tensor
    i2: Tensor


class TrainingIndex:
    """A training set made ready for `nearest_two`: its exact duplicates, its centre and its scale.

    `train` [n, ...] is a tensor or an array (a memory map is read tile by tile and never held). Of the images that
    equal one another only the lowest index takes part (`distinct`); `duplicates` is the number of the others. `tile` is
    the number of images, and of samples, in one matrix product. Work is done on `device`, by default that of `train`.
    Raises InputError for NaN or infinite values and for fewer than two distinct images.
    """

    def __init__(self, train: ImageArray, *, tile: int | None = None, device: torch.device | str | None = None) -> None:
        _check_not_empty(arguments.array("train", train), "training images")
        tile = None if tile is None else arguments.whole("tile", tile, low=1)
        self.train = train
        self.shape = tuple(train.shape[1:])
        self.device = _float64_device(device if device is not None else _device_of(train))
        size = math.prod(self.shape)
        self.tile = tile if tile is not None else max(1, min(_TILE_ROWS, _TILE_VALUES // max(size, 1)))
        keep, low, high, total = _scan(train, self.tile)
        self.duplicates = len(train) - len(keep)
        if len(keep) < 2:
            raise InputError(
                f"The training set has {len(train)} images and {len(keep)} distinct: d1/d2 needs two that differ."
            )
        self.distinct = torch.from_numpy(keep)
        centre = total / len(train)
        reach = max(float((high - centre).max()), float((centre - low).max()))
        # A power of two, so that scaling rounds nothing and no product under- or overflows.
        self._scale = 2.0 ** -min(max(math.frexp(reach)[1], -1000), 1000)
        self._centre = centre.to(self.device)

    def rows(self, places: Tensor) -> Tensor:
        """The training images at `places` (int64 [T]) as float32 or float64 rows [T, d], which hold them exactly."""
        return take(self.train, places)

    def views(self, points: Tensor) -> list[Tensor]:
        """What is compared with the training images in the place of rows [S, d]: these alone."""
        return [points]

    @torch.no_grad()
    def nearest_two(self, samples: ImageArray) -> NearestTwo:
        """The two nearest distinct training images of each sample [M, ...], as a float64 brute force finds them.

        Equal distances go to the lowest index. Returns CPU tensors; distances are in the units of the images.
        Raises InputError for no samples, NaN or infinite samples, and a shape other than the training images'.
        """
        _check_not_empty(arguments.array("samples", samples), "samples")
        if tuple(samples.shape[1:]) != self.shape:
            raise InputError(
                f"One sample has shape {tuple(samples.shape[1:])} and one training image {self.shape}: "
                "compare samples with the images that the model was trained on."
            )
        bad = sum(int((~take(samples, part).isfinite().all(1)).sum()) for part in _tiles(len(samples), self.tile))
        if bad:
            raise InputError(f"{bad} of {len(samples)} samples hold NaN or infinite values: the model has diverged.")
        distance = torch.full((len(samples), 2), math.inf, dtype=torch.float64, device=self.device)
        index = torch.full((len(samples), 2), len(self.train), dtype=torch.int64, device=self.device)
        with _true_float32(self.device):
            for part in _tiles(len(self.distinct), self.tile):
                places = self.distinct[part]
                images = _Tile(take(self.train, places), self._centre, self._scale)
                places = places.to(self.device)
                for rows in _tiles(len(samples), self.tile):
                    points = _Tile(take(samples, rows), self._centre, self._scale)
                    _update(distance[rows], index[rows], points, images, places, self._scale)
        lost = int((~distance.isfinite().all(1)).sum())
        if lost:
            raise InputError(f"{lost} of {len(samples)} samples are too far away for float64: the model has diverged.")
        distance = (distance / self._scale).cpu()
        index = index.cpu()
        return NearestTwo(distance[:, 0].clone(), distance[:, 1].clone(), index[:, 0].clone(), index[:, 1].clone())


def nearest_two(
    samples: ImageArray, train: ImageArray, *, tile: int | None = None, device: torch.device | str | None = None
) -> NearestTwo:
    """The two nearest distinct images of `train` [n, ...] to each of `samples` [M, ...].

    See `TrainingIndex`, which is what to hold on to where one training set meets many sets of samples. `device` is
    by default that of the samples. Returns NearestTwo on the CPU; raises InputError as TrainingIndex does.
    """
    if device is None and _device_of(samples).type != "cpu":
        device = _device_of(samples)
    return TrainingIndex(train, tile=tile, device=device).nearest_two(samples)


def duplicates(train: ImageArray) -> int:
    """Number of training images [n, ...] that equal an earlier one, value for value."""
    _check_not_empty(arguments.array("train", train), "training images")
    keep, *_ = _scan(train, _TILE_ROWS)
    return len(train) - len(keep)


class _Tile:
    """Rows made ready for the product: as given [T, d], centred and scaled in float32, and their norms in float64."""

    def __init__(self, rows: Tensor, centre: Tensor, scale: float) -> None:
        self.rows = rows.to(centre.device)
        centred = (self.rows.double() - centre).mul_(scale)
        self.norm = torch.linalg.vector_norm(centred, dim=1)
        self.product = torch.where(self.norm[:, None] < _HUGE, centred, 0.0).float()


def _update(distance: Tensor, index: Tensor, points: _Tile, images: _Tile, places: Tensor, scale: float) -> None:
    """Bring one tile of images into the best two of one tile of samples: distance, index [S, 2], in place.

    `distance` is in scaled units. Tiles of images come in ascending order, which is what breaks ties.
    """
    size = points.rows.shape[1]
    terms = min(size, _INNER) + 2 * math.ceil(size / _INNER) + 16
    eta = 1.01 * terms * _UNIT_32
    # bound [S, T]: a lower bound of |y - b|^2 - |y|^2, but for the part of the error that is common to a row.
    bound = ((1 - eta) * images.norm**2).float().repeat(len(points.rows), 1)
    for first in range(0, size, _INNER):
        inner = slice(first, first + _INNER)
        bound.sub_(points.product[:, inner] @ images.product[:, inner].T, alpha=2)
    product_error = 2 * eta * points.norm * images.norm.max() + size * 2.0**-120  # the last term: underflow

    def limit(second: Tensor, rows: Tensor | slice) -> Tensor:
        """The largest bound that an image at distance `second` can have."""
        norm = points.norm[rows]
        rounding = 4 * (size + 8) * _UNIT_64 * (second**2 + norm**2)
        level = (second**2 - norm**2 + product_error[rows] + rounding).float()
        return torch.nextafter(level, torch.full_like(level, math.inf))

    hit = (bound.amin(1) <= limit(distance[:, 1], slice(None))).nonzero()[:, 0]
    if not len(hit):
        return
    if len(hit) < len(bound):
        bound = bound[hit]
    # Two exact distances first: they keep the shortlist short.
    first_two = bound.topk(min(2, bound.shape[1]), dim=1, largest=False).indices
    pairs = hit[:, None].expand_as(first_two).reshape(-1), first_two.reshape(-1)
    tried = _exact(points.rows, images.rows, *pairs, scale).view_as(first_two)
    second = torch.cat([distance[hit], tried], dim=1).sort(dim=1).values[:, 1]
    shortlist = (bound <= limit(second, hit)[:, None]).nonzero()
    for some in shortlist.split(max(1, _PAIR_VALUES // size)):
        rows, columns = hit[some[:, 0]], some[:, 1]
        _merge(distance, index, rows, _exact(points.rows, images.rows, rows, columns, scale), places[columns])


def _exact(points: Tensor, images: Tensor, rows: Tensor, columns: Tensor, scale: float) -> Tensor:
    """Scaled float64 distances [P] of the pairs (points[rows], images[columns])."""
    difference = (points[rows].double() - images[columns].double()).mul_(scale)
    return difference.square_().sum(1).sqrt_()


def _merge(distance: Tensor, index: Tensor, rows: Tensor, new: Tensor, places: Tensor) -> None:
    """Bring pairs [P], in ascending order of row and place, into distance and index [S, 2], in place."""
    touched = rows.unique_consecutive()
    row = torch.cat([touched, touched, rows])
    value = torch.cat([distance[touched, 0], distance[touched, 1], new])
    place = torch.cat([index[touched, 0], index[touched, 1], places])
    order = value.argsort(stable=True)
    order = order[row[order].argsort(stable=True)]
    row = row[order]
    first = torch.ones_like(row, dtype=torch.bool)
    first[1:] = row[1:] != row[:-1]
    start = first.nonzero()
    best = order[start + torch.arange(2, device=row.device)]
    distance[touched], index[touched] = value[best], place[best]


def _scan(train: ImageArray, tile: int) -> tuple[np.ndarray, Tensor, Tensor, Tensor]:
    """One pass: places of the distinct images (int64, ascending), and per value the lowest, highest and sum [d]."""
    hashes = np.empty(len(train), dtype=np.int64)
    low = high = total = torch.zeros(())
    bad = 0
    for part in _tiles(len(train), tile):
        rows = take(train, part).cpu()
        bad += int((~rows.isfinite().all(1)).sum())
        low = rows.amin(0).double() if part.start == 0 else torch.minimum(low, rows.amin(0))
        high = rows.amax(0).double() if part.start == 0 else torch.maximum(high, rows.amax(0))
        total = rows.sum(0, dtype=torch.float64) + (total if part.start else 0)
        hashes[part] = [hash(row.tobytes()) for row in (rows + 0.0).numpy()]  # + 0.0: -0.0 equals 0.0
    if bad:
        raise InputError(f"{bad} of {len(train)} training images hold NaN or infinite values: mend the data set.")
    distinct = np.ones(len(train), dtype=bool)
    order = np.argsort(hashes, kind="stable")
    edges = np.flatnonzero(np.diff(hashes[order])) + 1
    starts, stops = np.append(0, edges), np.append(edges, len(order))
    for group in np.flatnonzero(stops - starts > 1):
        _mark_duplicates(train, order[starts[group] : stops[group]], distinct)
    return np.flatnonzero(distinct), low, high, total


def _mark_duplicates(train: ImageArray, places: np.ndarray, distinct: np.ndarray) -> None:
    """Of images with one hash, in ascending order, mark those that equal an earlier one."""
    kept: list[Tensor] = []
    for place in places:
        row = take(train, slice(place, place + 1)).cpu()
        if any(torch.equal(row, other) for other in kept):
            distinct[place] = False
        else:
            kept.append(row)


def take(images: ImageArray, part: slice | Tensor) -> Tensor:
    """Some images as float32 or float64 [T, d], whichever holds their values exactly."""
    if isinstance(images, np.ndarray):
        picked = images[part.numpy() if isinstance(part, Tensor) else part]
        exact = np.float32 if np.can_cast(picked.dtype, np.float32) else np.float64
        return torch.from_numpy(np.array(picked, dtype=exact)).flatten(1)
    rows = images.detach()[part.to(images.device) if isinstance(part, Tensor) else part].flatten(1)
    narrow = rows.dtype.itemsize <= 2 or rows.dtype == torch.float32
    return rows.float() if narrow else rows.double()


def _tiles(count: int, tile: int) -> Iterator[slice]:
    return (slice(first, min(first + tile, count)) for first in range(0, count, tile))


def _device_of(images: ImageArray) -> torch.device:
    return images.device if isinstance(images, Tensor) else torch.device("cpu")


def _float64_device(device: torch.device | str) -> torch.device:
    """`device`, or the CPU where it knows no float64."""
    if not isinstance(device, str | torch.device):
        raise TypeError(f"device={arguments.shown(device)} is not the name of a device.")
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            f"device={arguments.shown(str(device))} is not available here: use cpu, cuda or mps."
        ) from error
    return torch.device("cpu") if device.type == "mps" else device


@contextlib.contextmanager
def _true_float32(device: torch.device) -> Iterator[None]:
    """Products in float32 as the error bound takes it: no TF32, no bfloat16, no autocast."""
    backends: list[Any] = [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
    switches = [backend for backend in backends if hasattr(backend, "fp32_precision")]
    if switches:  # torch >= 2.9; its older switch refuses to answer once the newer has been used
        before = [switch.fp32_precision for switch in switches]
        for switch in switches:
            switch.fp32_precision = "ieee"
    else:
        legacy = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        if switches:
            for switch, value in zip(switches, before, strict=True):
                switch.fp32_precision = value
        else:
            torch.set_float32_matmul_precision(legacy)


def _check_not_empty(images: ImageArray, what: str) -> None:
    if images.ndim < 2 or len(images) == 0 or math.prod(images.shape[1:]) == 0:
        raise InputError(f"There are no {what} to compare: their shape is {tuple(images.shape)}, not [count, ...].")
