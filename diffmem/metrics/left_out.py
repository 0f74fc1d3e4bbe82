"""Traces of square roots of a scatter matrix, of all samples and without one block of them after another.

    A = Y^T Y,  A_b = A - W_b^T W_b,  W_b = the rows of block b, and their sum / sqrt(rows that are left)

With A = V diag(l) V^T and Z_b = W_b V, the determinant lemma gives the trace that a block takes away as an integral,

    Tr A^(1/2) - Tr A_b^(1/2) = -(1 / pi) int_0^inf log det(1 - K_b(s)) ds,  K_b(s) = Z_b diag(1 / (l + s^2)) Z_b^T,

over matrices of the block's size and not of the features': one eigenproblem for all blocks. The midpoint rule in u with
s = sqrt(l_min) sc(u), an elliptic function, converges like exp(-2 pi^2 nodes / (log(l_max / l_min) + 6)). Products are
in float32, whose rounding is averaged over a block. The result is Tr A_b^(1/2) to RELATIVE of Tr A^(1/2).

Letters: M samples, D features.
Source: Hale, Higham and Trefethen 2008, "Computing A^alpha, log(A), and related matrix functions by contour
integrals", section 4.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import ellipj, ellipkm1

RELATIVE = 1e-6
_BELOW = 0.02  # of the least eigenvalue: taking a block away makes it smaller
_SMALL = 1e-12  # of the largest eigenvalue: what a block takes of those below is left in


def root_traces(rows: np.ndarray, sizes: Sequence[int]) -> tuple[float, list[float]]:
    """Tr (Y^T Y)^(1/2) of `rows` Y [M, D], whose mean is zero, and Tr A_b^(1/2) of the scatter without each block.

    Blocks of these `sizes` follow one another. A_b is the scatter of the rows that are left about their own mean.
    """
    values, vectors = np.linalg.eigh(rows.T @ rows)
    kept = values > _SMALL * max(values[-1], 0.0)
    if not kept.any():
        return 0.0, [0.0] * len(sizes)
    whole = float(np.sqrt(np.maximum(values, 0)).sum())
    turned = rows @ vectors[:, kept]
    return whole, [whole - _taken(values[kept], _update(turned, block)) for block in _slices(sizes)]


def _slices(sizes: Sequence[int]) -> list[slice]:
    return [slice(stop - size, stop) for size, stop in zip(sizes, np.cumsum(sizes).tolist(), strict=True)]


def _update(rows: np.ndarray, block: slice) -> np.ndarray:
    """W_b: what taking `block` out of rows of mean zero takes from their scatter."""
    part = rows[block]
    total = part.sum(axis=0) / np.sqrt(len(rows) - len(part))
    return np.concatenate([part, total[None]])


def _taken(values: np.ndarray, update: np.ndarray) -> float:
    """Tr diag(values)^(1/2) - Tr (diag(values) - W^T W)^(1/2) of an `update` W."""
    # a block that holds nearly all there is in some direction leaves a singularity that the nodes do not reach to
    if 2 * len(update) < len(values) and np.linalg.eigvalsh(_kept(values, update))[0] > _BELOW:
        return _integral(values, update)
    rest = np.linalg.eigvalsh(np.diag(values) - update.T @ update)
    return float(np.sqrt(values).sum() - np.sqrt(np.maximum(rest, 0)).sum())


def _integral(values: np.ndarray, update: np.ndarray) -> float:
    total = 0.0
    for s, weight in _nodes(_BELOW * values[0], values[-1]):
        root = np.linalg.cholesky(_kept(values + s**2, update))
        total -= weight * 2 * float(np.log(np.diag(root)).sum())
    return total / np.pi


def _kept(values: np.ndarray, update: np.ndarray) -> np.ndarray:
    """1 - K_b for eigenvalues `values` [D] (plus s^2): what a block leaves, seen from its samples."""
    scaled = (update / np.sqrt(values)).astype(np.float32)
    kept: np.ndarray = np.eye(len(update)) - scaled @ scaled.T
    return kept


def _nodes(low: float, high: float) -> Iterator[tuple[float, float]]:
    """Nodes s and weights of int_0^inf f(s) ds, for f whose singularities are s^2 = -l with l from `low` to `high`."""
    ratio = low / high
    period = float(ellipkm1(ratio))
    half = math.ceil((6 - math.log(ratio)) * -math.log(RELATIVE) / (2 * math.pi) ** 2)
    step = period / (2 * half)
    sn, cn, dn, _ = ellipj((np.arange(half) + 0.5) * step, 1 - ratio)
    for s, slope in zip(np.sqrt(low) * sn / cn, np.sqrt(low) * dn / cn**2, strict=True):
        yield s, slope * step
        mirror = math.sqrt(low * high) / s  # of u in the period: near its end ellipj is rough
        yield mirror, mirror / s * slope * step
