"""What a measure of quality says where the answer is known: the bookends of every quality, in pixels.

    real         other real images: the floor
    mean_image   the mean image, again and again
    independent  every pixel drawn by itself from the values that it has in real images
    gaussian     a Gaussian with the mean and covariance of real images, clipped
    average      the average of two real images
    copies       the n training images drawn with replacement: the best that pure copying gives
    sampler      the exact denoiser of that Gaussian through the run's sampler: the floor under these calls

mean_image, independent, gaussian and average are trivial (`definitions.TRIVIAL`): nobody would train a network for what
they give, so a quality that one of them has is none. Real images are those outside the test split, whatever the
training subset, so only `copies` depends on n. Every draw is keyed, so two runs of one data set have the same bookends.

Letters: M samples, R real images, n training images, d values in one image, r components.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from diffmem import rng
from diffmem.data import Split
from diffmem.definitions import derived
from diffmem.diffusion.process import Denoiser, Process

_COVARIANCE = 2048  # real images whose covariance is taken: bounds memory and time at any d
_TILE = 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class Real:
    """What the generators draw from. `images` [R, ...] are real ones outside the test split, in pixels.

    `draw` gives samples [M, ...] in model space from a denoiser, through the run's sampler and its initial noise.
    """

    images: Tensor
    split: Split
    process: Process
    draw: Callable[[Denoiser], Tensor]

    @cached_property
    def gaussian(self) -> "Gaussian":
        return Gaussian.of(self.images[:_COVARIANCE])


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaussian:
    """Mean [d], and the covariance by its unit eigenvectors [d, r] and eigenvalues [r], float64."""

    mean: Tensor
    vectors: Tensor
    values: Tensor

    @classmethod
    def of(cls, images: Tensor) -> "Gaussian":
        """The Gaussian with the mean and covariance of `images` [R, ...]."""
        rows = images.flatten(1).double().cpu()
        mean = rows.mean(0)
        vectors, lengths, _ = torch.linalg.svd((rows - mean).T, full_matrices=False)
        return cls(mean=mean, vectors=vectors, values=lengths.square() / max(len(rows) - 1, 1))

    def spread(self, noise: Tensor, scale: Tensor) -> Tensor:
        """`noise` [M, d] with each component multiplied by its `scale` [r]: no sign of an eigenvector matters."""
        return ((noise @ self.vectors) * scale) @ self.vectors.T

    def samples(self, count: int) -> Tensor:
        """`count` draws, [count, d]."""
        noise = rng.normal((count, len(self.mean)), "bookend gaussian").double()
        return self.mean + torch.cat([self.spread(part, self.values.sqrt()) for part in noise.split(_TILE)])


def real(given: Real, count: int) -> Tensor:
    """Different images, so fewer than `count` where there are fewer: drawn twice, one would be its own copy."""
    return given.images[rng.permutation(len(given.images), "bookend real")[:count]]


def mean_image(given: Real, count: int) -> Tensor:
    return given.images.double().mean(0).float().expand(count, *given.images.shape[1:])


def independent(given: Real, count: int) -> Tensor:
    rows = given.images.flatten(1)
    places = torch.from_numpy(rng.indices(len(rows), (count, rows.shape[1]), "bookend independent"))
    return rows.gather(0, places).view(count, *given.images.shape[1:])


def gaussian(given: Real, count: int) -> Tensor:
    return given.gaussian.samples(count).view(count, *given.images.shape[1:])


def average(given: Real, count: int) -> Tensor:
    """Of two different images, where there are two."""
    size = len(given.images)
    first = rng.indices(size, (count,), "bookend average", "first")
    apart = rng.indices(max(size - 1, 1), (count,), "bookend average", "apart")
    return (given.images[first] + given.images[(first + 1 + apart) % size]) / 2


def copies(given: Real, count: int) -> Tensor:
    places = rng.indices(len(given.split.train), (count,), "bookend copies")
    return given.split.to_pixels(given.split.train[places])


def sampler(given: Real, count: int) -> Tensor:
    return given.split.to_pixels(given.draw(gaussian_denoiser(given)).cpu())[:count]


GENERATORS: dict[str, Callable[[Real, int], Tensor]] = {
    "real": real,
    "mean_image": mean_image,
    "independent": independent,
    "gaussian": gaussian,
    "average": average,
    "copies": copies,
    "sampler": sampler,
}


def measured(given: Real, quality: Callable[[Tensor], dict[str, float]], count: int) -> dict[str, dict[str, float]]:
    """What `quality` says of `count` samples of each generator: bookend -> measure -> value.

    `samples` is the number there was, `variance` (of `sampler`) the share of the real images' variance that is left.
    """
    found = {}
    for name, generate in GENERATORS.items():
        pixels = generate(given, count)
        found[name] = {"samples": float(len(pixels)), **quality(pixels)}
        if name == "sampler":
            spread = pixels.flatten(1).double().var(dim=0).sum() / given.gaussian.values.sum()
            found[name]["variance"] = float(spread)
    return found


def columns(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """The bookends as constant columns of a run's rows, `<measure>@<bookend>`, without intervals and counts."""
    return {
        f"{measure}@{bookend}": value
        for bookend, values in found.items()
        for measure, value in values.items()
        if measure != "samples" and not derived(measure)
    }


def gaussian_denoiser(given: Real) -> Denoiser:
    """epsilon(x, t) of the Gaussian of the real images in model space, exact: what a perfect linear network computes.

    With alpha_bar = a, mean m and covariance C, E[x_0 | x] = m + sqrt(a) C (a C + 1 - a)^-1 (x - sqrt(a) m).
    """
    known, split = given.gaussian, given.split
    shape = given.images.shape[1:]
    mean = ((known.mean.view(shape) - split.mean.double().cpu()) * split.scale).flatten()
    values = known.values * split.scale**2

    def epsilon(x: Tensor, t: Tensor) -> Tensor:
        alpha_bar = given.process.alpha_bar[t[0]].double().cpu()  # a sampler's times are one for all
        apart = given.process.unscaled(x.flatten(1).double().cpu(), t.cpu()) - alpha_bar.sqrt() * mean
        # (x - sqrt(a) E[x_0 | x]) / sqrt(1 - a) = sqrt(1 - a) (a C + 1 - a)^-1 (x - sqrt(a) m)
        noise = apart - known.spread(apart, alpha_bar * values / (alpha_bar * values + 1 - alpha_bar))
        return (noise / (1 - alpha_bar).sqrt()).view(x.shape).to(x)

    return epsilon
