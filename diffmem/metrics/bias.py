"""Bias: whether samples lie closer to the training images than to as many held-out ones, long before copies.

    m        min(n, N/2) images on each side, in each of R keyed draws: of the held-out images, and where m < n of the
             training images
    own      of a sample and a draw: 1 where the nearest training image is closer than the nearest held-out one, 1/2
             where both are as close, 0 else; of a sample, the mean over the draws
    p_train  the mean of own over the samples
    null     the mean of own over the held-out images and those draws that they are not in

A model that knows nothing of which images it was given has the expectation 1/2 over all sets of images. Two given sets
shift that, for the held-out images as for the samples: so p_train is compared with its null.

A product in float64 decides all but near ties. A sample whose nearest images on the two sides are closer to one another
than the product's error (Higham 2002, section 3.1; see `search`) is measured again by differences.

Letters: M samples, n training images, N held-out images, R draws, d values in one image, S samples of a tile.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diffmem import rng
from diffmem.errors import InputError
from diffmem.metrics.search import ImageArray, TrainingIndex, take
from diffmem.stats import intervals

DRAWS = 20
_TILE_VALUES = 2**22  # distances in one tile
_IMAGES = 2048  # images in one product


@dataclass(frozen=True)
class Share:
    """A mean of own with its 95% interval."""

    value: float
    low: float
    high: float


class Bias:
    """The distinct images of a training set and held-out images [N, ...] made ready for `own`, and the null of p_train.

    Work is done on the index's device, in memory that a tile bounds. Raises InputError for fewer than two held-out
    images and for images of another shape.
    """

    def __init__(self, index: TrainingIndex, heldout: ImageArray, *, draws: int = DRAWS) -> None:
        n, held = len(index.distinct), len(heldout)
        self.m = min(n, held // 2)
        if self.m < 1:
            raise InputError(f"heldout has {held} images: p_train needs two or more that the model was not trained on.")
        self.index = index
        self._check(heldout, "held-out image")
        drawn = [torch.from_numpy(rng.permutation(held, "held-out draw", r)[: self.m]) for r in range(draws)]
        chosen = [torch.from_numpy(rng.permutation(n, "training draw", r)[: self.m]) for r in range(draws)]
        used, self.held_draws = _united(drawn, index.device)
        self.heldout = take(heldout, used).to(index.device)
        used, self.train_draws = _united(chosen if self.m < n else [torch.arange(n)], index.device)
        self.train = index.rows(index.distinct[used]).to(index.device)
        self._centre = self.heldout.mean(0, dtype=torch.float64)
        self.null = self._null(heldout, drawn)

    @torch.no_grad()
    def own(self, samples: ImageArray) -> Tensor:
        """own of each sample [M, ...]: float64 [M] in [0, 1], on the CPU. Raises InputError for another shape."""
        return self._in_draws(samples).mean(1)

    def _null(self, heldout: ImageArray, drawn: list[Tensor]) -> Share:
        """The null, over the queries and the draws: each is a part of its error."""
        values = self._in_draws(heldout)  # [N, R]
        free = torch.ones_like(values)
        for r, places in enumerate(drawn):
            free[places, r] = 0.0
        values *= free
        by_query = (values.sum(1) / free.sum(1))[free.sum(1) > 0]
        by_draw = values.sum(0) / free.sum(0)
        value, total = float(values.sum() / free.sum()), len(by_query)
        error = float(by_query.var(correction=min(1, total - 1))) / total
        error += float(by_draw.var(correction=min(1, len(by_draw) - 1))) / len(by_draw)
        return Share(value, *intervals.wilson_mean(value, math.sqrt(error), total))

    def _in_draws(self, samples: ImageArray) -> Tensor:
        """own of each sample in each draw: float64 [M, R], on the CPU."""
        self._check(samples, "sample")
        tile = max(1, _TILE_VALUES // (len(self.train) + len(self.heldout)))
        parts = [
            self._tile(take(samples, slice(first, first + tile)).to(self.index.device).double())
            for first in range(0, len(samples), tile)
        ]
        return torch.cat(parts).cpu()

    def _check(self, images: ImageArray, what: str) -> None:
        if tuple(images.shape[1:]) != self.index.shape:
            raise InputError(
                f"One {what} has shape {tuple(images.shape[1:])} and one training image {self.index.shape}: "
                "p_train compares images of one shape."
            )

    def _tile(self, points: Tensor) -> Tensor:
        """own in each draw [S, R] of `points` [S, d]."""
        sides = (self.train, self.train_draws), (self.heldout, self.held_draws)
        views = self.index.views(points)
        products = [[_by_product(view, images, self._centre) for view in views] for images, _ in sides]
        train, heldout = (
            _nearest(_least([squares for squares, _ in product]), draws)
            for product, (_, draws) in zip(products, sides, strict=True)
        )
        own = _closer(train, heldout)
        errors = [torch.stack([error for _, error in product]).amax(0) for product in products]
        told_apart = (train - heldout).abs() > (errors[0] + errors[1])[:, None]
        for row in (~told_apart).any(1).nonzero()[:, 0]:
            exact = (
                _nearest(_least([_by_difference(view[row], images) for view in views]), draws)
                for images, draws in sides
            )
            own[row] = _closer(*exact)[0]
        return own


def columns(own: Tensor, null: Share) -> dict[str, float]:
    """The columns of a row: p_train with its 95% interval over the samples, and its null. `own` is [M]."""
    value = float(own.mean())
    error = float(own.var(correction=0)) / len(own)
    low, high = intervals.wilson_mean(value, math.sqrt(error), len(own))
    columns = {"p_train": value, "p_train_low": low, "p_train_high": high}
    return columns | {"p_train_null": null.value, "p_train_null_low": null.low, "p_train_null_high": null.high}


def _united(draws: list[Tensor], device: torch.device) -> tuple[Tensor, list[Tensor]]:
    """The places that some draw holds, ascending, and where those of each draw are among them."""
    used = torch.cat(draws).unique()
    return used, [torch.searchsorted(used, draw).to(device) for draw in draws]


def _by_product(points: Tensor, images: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances [S, images] by products of centred rows, and a bound of their error [S]."""
    y = points - centre
    y2, squares, longest = y.square().sum(1), [], torch.zeros((), dtype=torch.float64, device=y.device)
    for part in images.split(_IMAGES):
        b = part.double() - centre
        b2 = b.square().sum(1)
        squares.append(y2[:, None] + b2 - 2 * y @ b.T)
        longest = torch.maximum(longest, b2.max())
    return torch.cat(squares, dim=1), 4 * (y.shape[1] + 16) * 2.0**-53 * (y2 + longest)


def _by_difference(point: Tensor, images: Tensor) -> Tensor:
    """Squared distances [1, images] of one point [d]."""
    return torch.cat([(part.double() - point).square_().sum(1) for part in images.split(_IMAGES)])[None]


def _least(squares: list[Tensor]) -> Tensor:
    """The least of several views' squared distances, each [S, images]."""
    return squares[0] if len(squares) == 1 else torch.stack(squares).amin(0)


def _nearest(squares: Tensor, draws: list[Tensor]) -> Tensor:
    """The least of `squares` [S, images] among those of each draw: [S, R or 1]."""
    return torch.stack([squares[:, places].amin(1) for places in draws], dim=1)


def _closer(train: Tensor, heldout: Tensor) -> Tensor:
    """own of squared distances to the nearest image of each side, [S, R]."""
    return (train < heldout).double() + 0.5 * (train == heldout).double()
