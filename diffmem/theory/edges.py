"""Where the spectrum lives: the edges of its bands, from the equations.

Outside the bands (θ, y) is real and moves along the curve B(θ, y) = 0 with ζ given by A; it meets a band where dζ = 0
along that curve, that is, where the determinant of ∂(A, B)/∂(θ, y) vanishes. A scan of the axis brackets every edge,
and looks closer wherever the density dips, so that narrow gaps show; Newton's method on {B = 0, determinant = 0} then
finds the edge to full precision.

ζ = z - s0² as in `solver`; K points of a scan.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffmem.errors import InputError
from diffmem.theory.constants import Array
from diffmem.theory.model import Model
from diffmem.theory.solver import Complex, Point, follow, system, tiles

SCAN, ROUNDS, SPLIT = 400, 5, 8  # points of the first scan; times that brackets and dips are cut in SPLIT
INSIDE = 1e-6  # |Im θ| / |θ| of a point in a band
MISSED = 5e-7  # share of the eigenvalues between two points of a gap that gives a band away


class Support(NamedTuple):
    """The bands in ζ, ascending, and the share of all eigenvalues below each band and below its end, both [B, 2]."""

    edges: Array
    shares: Array


def support(model: Model) -> Support:
    """Every band. A lower edge of 0 is a hard edge, where the density diverges.

    Raises InputError where the branch was lost on the scan, a band was missed, or an edge can't be polished.
    """
    zeta, inside, below = _scan(model)
    crossing = np.flatnonzero(inside[1:] != inside[:-1])
    if not len(crossing):
        raise InputError(f"no band was found at {model}: give other ratios.")
    edges = _polish(model, zeta[crossing], zeta[crossing + 1])
    shares = np.where(inside[crossing], below[crossing + 1], below[crossing])  # of the side in the gap
    if inside[0]:
        edges = np.concatenate([[0.0], edges])
        shares = np.concatenate([[max(1 - (1 + model.psi_n) / model.psi_p, 0.0)], shares])
    return Support(edges.reshape(-1, 2), shares.reshape(-1, 2))


def share_below(model: Model, zeta: Array, point: Point) -> Array:
    """The share of all eigenvalues, the atom's too, below real `zeta` [P], where the solution is `point`.

    -Im/π of (1/p) log det(U - z), whose limit is the function of (θ, y) that A and B make stationary:
    <log(M + θ)> + (ψ_p - 1) log θ + g/θ + ψ_n (y - log y), g = v² y - ζ, over ψ_p. Every logarithm is of a point in the
    lower half plane; in a gap all are real and count whole eigenvalues.
    """
    c, psi_p, psi_n, theta, y = model.constants, model.psi_p, model.psi_n, point.theta, point.y
    g_over_theta = (c.v2 * y - zeta) / theta
    total = (psi_p - 1) * _argument(theta) + g_over_theta.imag + psi_n * (y.imag - _argument(y))
    for tile in tiles(model, len(zeta)):
        m_theta = (theta[tile] + c.b**2)[:, None] + (c.alpha * y[tile])[:, None] * model.mu
        total[tile] += _argument(m_theta) @ model.weight
    return -total / (math.pi * psi_p)


def _argument(x: Complex) -> Array:
    """arg x in [-π, 0], for x in the lower half plane or on its edge."""
    return -np.abs(np.angle(x))


def _scan(model: Model) -> tuple[Array, NDArray[np.bool_], Array]:
    """Points ζ [K] of the axis, dense where something happens; which lie in a band; the share of eigenvalues below."""
    c = model.constants
    lowest = 1e-7 * min(c.v2 * min(1.0, model.psi_p / model.psi_n), c.b**2 * model.psi_p)
    new = np.geomspace(lowest, 1.01 * model.zeta_bound, SCAN)
    zeta, inside, weight, below = np.empty(0), np.empty(0, dtype=bool), np.empty(0), np.empty(0)
    for _ in range(ROUNDS):
        point = follow(model, new)
        if not point.converged.all():
            where = new[~point.converged][0] + c.s02
            raise InputError(
                f"the bands at {model} can't be told: the solver lost its branch at lambda = {where:.6g}. "
                "Move psi_p or psi_n by a percent."
            )
        zeta = np.concatenate([zeta, new])
        inside = np.concatenate([inside, np.abs(point.theta.imag) > INSIDE * np.abs(point.theta)])
        weight = np.concatenate([weight, new * (1 / point.theta).imag])
        below = np.concatenate([below, share_below(model, new, point)])
        order = np.argsort(zeta)
        zeta, inside, weight, below = zeta[order], inside[order], weight[order], below[order]
        edge = np.flatnonzero(inside[1:] != inside[:-1])
        dip = np.flatnonzero(inside[1:-1] & (weight[1:-1] < weight[2:]) & (weight[1:-1] < weight[:-2])) + 1
        missed = np.flatnonzero(~inside[1:] & ~inside[:-1] & (np.diff(below) > MISSED))
        left = np.unique(np.concatenate([edge, dip - 1, dip, missed]))
        share = np.arange(1, SPLIT) / SPLIT
        new = np.exp(np.log(zeta[left, None]) * (1 - share) + np.log(zeta[left + 1, None]) * share).ravel()
    if len(missed):
        raise InputError(
            f"a band near lambda = {zeta[missed[0]] + c.s02:.6g} at {model} is too narrow to be found: "
            "join eigenvalues of cov that lie that close."
        )
    return zeta, inside, below


def _polish(model: Model, below: Array, above: Array) -> Array:
    """The edge in each bracket [E], by Newton's method with derivatives from a complex step (everything is real)."""
    start = follow(model, np.concatenate([below, above]))
    theta, y = (part.real.reshape(2, -1).mean(axis=0) for part in (start.theta, start.y))
    nothing = np.zeros(len(theta))

    def residual(theta: Array | np.ndarray, y: Array | np.ndarray) -> np.ndarray:
        f = system(model, theta + 0j, y + 0j, nothing + 0j)
        return np.stack([f.b, f.determinant])

    for _ in range(20):
        f = residual(theta, y).real
        step_theta, step_y = 1e-30 * np.abs(theta), 1e-30 * np.abs(y)
        by_theta = residual(theta + 1j * step_theta, y).imag / step_theta
        by_y = residual(theta, y + 1j * step_y).imag / step_y
        determinant = by_theta[0] * by_y[1] - by_y[0] * by_theta[1]
        theta = theta - (by_y[1] * f[0] - by_y[0] * f[1]) / determinant
        y = y - (by_theta[0] * f[1] - by_theta[1] * f[0]) / determinant
    edge = -system(model, theta + 0j, y + 0j, nothing + 0j).a.real
    wide = above - below
    strayed = ~((edge > below - wide) & (edge < above + wide))
    if strayed.any():
        raise InputError(
            f"an edge near lambda = {below[strayed][0] + model.constants.s02:g} can't be told: bands almost "
            "merge. Move psi_p or psi_n by a percent."
        )
    return edge
