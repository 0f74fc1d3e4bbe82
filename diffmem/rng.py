"""Keyed randomness: every draw is a function of (seed, purpose, step), never of history.

So a run that is killed, resumed, evaluated more often or moved to another worker draws the same numbers,
and no generator state is ever stored.

Two sources. `generator` feeds training, on the training device. `normal` and `permutation` are numpy's
Philox and feed whatever must not depend on the machine or on how many are asked for: evaluation noise, sampling
noise, the order of a data set. `normal` is prefix-stable: the first rows of a longer draw are the shorter draw.
"""

import hashlib

import numpy as np
import torch
from torch import Tensor


def key(*parts: object) -> int:
    """A 64-bit key of the parts (their `str`), the same on every machine."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def generator(seed: int, purpose: str, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A new generator for one purpose at one step."""
    return keyed(torch.Generator(device), seed, purpose, step)


def keyed(generator: torch.Generator, seed: int, purpose: str, step: int) -> torch.Generator:
    """`generator`, which from here on draws what one purpose draws at one step.

    torch's CPU generator keeps only the low 32 bits of a seed, so the step is added to the purpose's key
    rather than hashed into it: no two steps of a purpose ever share a stream.
    """
    return generator.manual_seed((key(seed, purpose) + step) % 2**63)


def _philox(*parts: object) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key(*parts)))


def normal(shape: tuple[int, ...], *parts: object) -> Tensor:
    """Standard normal float32 draws of `shape` on the CPU, keyed by `parts`, prefix-stable in dimension 0."""
    return torch.from_numpy(_philox(*parts).standard_normal(shape, dtype=np.float32))


def indices(n: int, shape: tuple[int, ...], *parts: object) -> np.ndarray:
    """Draws from 0..n-1 with replacement, keyed by `parts`: int64 of `shape`, prefix-stable in dimension 0."""
    return _philox(*parts).integers(n, size=shape)


def permutation(n: int, *parts: object) -> np.ndarray:
    """A permutation of 0..n-1, keyed by `parts`: int64 [n]."""
    return _philox(*parts).permutation(n)


def batches(seed: int, first: int, steps: int, n: int, batch: int) -> Tensor:
    """The images of `steps` training steps from step `first` (from 0) on: int64 [steps, batch], `batch <= n`.

    Permutations keyed by (seed, epoch) are laid end to end and cut into batches, so that every batch has
    exactly `batch` images and every image is seen once an epoch. Nothing but arithmetic decides the place.

    Within an epoch no image comes twice. Where `batch` does not divide n, a share (batch - gcd(batch, n)) / n of the
    batches ends one epoch with a images and begins the next with b, and holds about a b / n images twice.
    """
    begin, end = first * batch, (first + steps) * batch
    order = [permutation(n, seed, "batch order", epoch) for epoch in range(begin // n, -(-end // n))]
    return torch.from_numpy(np.concatenate(order)[begin % n :][: end - begin].reshape(steps, batch))
