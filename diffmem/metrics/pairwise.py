"""Squared Euclidean distances of rows by one product, where near ties decide nothing (`search` is exact)."""

from torch import Tensor


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """[M, N] of rows x [M, d] and y [N, d] in float64, never below zero."""
    squares = x.square().sum(1, keepdim=True) + y.square().sum(1) - 2 * x @ y.T
    return squares.clamp(min=0)
