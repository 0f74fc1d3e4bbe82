"""Where the spectrum lives: the edges of its bands, from the equations.

Outside the bands (θ, y) is real and moves along the curve B(θ, y) = 0 with ζ given by A; it meets a band where dζ = 0
along that curve, that is, where the determinant of ∂(A, B)/∂(θ, y) vanishes. A scan of the axis brackets every edge,
and looks closer wherever the density dips, so that narrow gaps show; Newton's method on {B = 0, determinant = 0} then
finds the edge to full precision.

ζ = z - s0² as in `solver`; K points of a scan.
"""

import math

import numpy as np
from numpy.typing import NDArray

from diffmem.errors import InputError
from diffmem.theory.solver import Array, Problem, follow, system

SCAN, ROUNDS, SPLIT = 400, 5, 8  # points of the first scan; times that brackets and dips are cut in SPLIT
INSIDE = 1e-7  # |Im θ| / |θ| of a point in a band
NODES = tuple(64 * 2**k for k in range(9))  # of the quadrature of a band's mass


def support(problem: Problem) -> Array:
    """Edges [B, 2] of the B bands in ζ, ascending. A lower edge of 0 is a hard edge, where the density diverges.

    Raises InputError where the branch was lost on the scan or an edge can't be polished.
    """
    zeta, inside = _scan(problem)
    crossing = np.flatnonzero(inside[1:] != inside[:-1])
    if not len(crossing):
        raise InputError(f"no band was found at psi_p={problem.psi_p:g}, psi_n={problem.psi_n:g}: give other ratios.")
    edges = _polish(problem, zeta[crossing], zeta[crossing + 1])
    if inside[0]:
        edges = np.concatenate([[0.0], edges])
    return edges.reshape(-1, 2)


def masses(problem: Problem, bands: Array) -> Array:
    """The share of the eigenvalues in each of `bands` [B, 2]: the density's integral, in log ζ = middle + half cos φ.

    The trapezoid rule in φ converges geometrically; its nodes double until a mass no longer changes.
    """
    return np.array([_mass(problem, low, high) for low, high in bands])


def _mass(problem: Problem, low: float, high: float) -> float:
    log_low, log_high = math.log(max(low, 1e-18 * high)), math.log(high)
    middle, half = (log_high + log_low) / 2, (log_high - log_low) / 2
    mass = math.nan
    for nodes in NODES:
        phi = (np.arange(nodes) + 0.5) * np.pi / nodes
        zeta = np.exp(middle + half * np.cos(phi))
        rho = (1 / (problem.psi_p * follow(problem, zeta).theta)).imag / np.pi
        before, mass = mass, float(np.sum(rho * zeta * np.sin(phi)) * half * np.pi / nodes)
        if abs(mass - before) < 1e-9:
            break
    return mass


def _scan(problem: Problem) -> tuple[Array, NDArray[np.bool_]]:
    """Points ζ [K] of the axis, dense where something happens, and which of them lie in a band."""
    c = problem.numbers
    lowest = 1e-7 * min(c.v2 * min(1.0, problem.psi_p / problem.psi_n), c.b**2 * problem.psi_p)
    new = np.geomspace(lowest, 1.01 * problem.highest(), SCAN)
    zeta, inside, weight = np.empty(0), np.empty(0, dtype=bool), np.empty(0)
    for _ in range(ROUNDS):
        point = follow(problem, new)
        if not point.converged.all():
            where = new[~point.converged][0] + c.s02
            raise InputError(
                f"the bands at psi_p={problem.psi_p:g}, psi_n={problem.psi_n:g}, t={c.t:g} can't be told: the solver "
                f"lost its branch at lambda = {where:.6g}. Move psi_p or psi_n by a percent."
            )
        weight = np.concatenate([weight, new * (1 / point.theta).imag])
        inside = np.concatenate([inside, np.abs(point.theta.imag) > INSIDE * np.abs(point.theta)])
        zeta = np.concatenate([zeta, new])
        order = np.argsort(zeta)
        zeta, inside, weight = zeta[order], inside[order], weight[order]
        dip = np.flatnonzero(inside[1:-1] & (weight[1:-1] < weight[2:]) & (weight[1:-1] < weight[:-2])) + 1
        left = np.unique(np.concatenate([np.flatnonzero(inside[1:] != inside[:-1]), dip - 1, dip]))
        share = np.arange(1, SPLIT) / SPLIT
        new = np.exp(np.log(zeta[left, None]) * (1 - share) + np.log(zeta[left + 1, None]) * share).ravel()
    return zeta, inside


def _polish(problem: Problem, below: Array, above: Array) -> Array:
    """The edge in each bracket [E], by Newton's method with derivatives from a complex step (everything is real)."""
    start = follow(problem, np.concatenate([below, above]))
    theta, y = (part.real.reshape(2, -1).mean(axis=0) for part in (start.theta, start.y))
    nothing = np.zeros(len(theta))

    def residual(theta: Array | np.ndarray, y: Array | np.ndarray) -> np.ndarray:
        f = system(problem, theta + 0j, y + 0j, nothing + 0j)
        return np.stack([f.b, f.determinant])

    for _ in range(20):
        f = residual(theta, y).real
        step_theta, step_y = 1e-30 * np.abs(theta), 1e-30 * np.abs(y)
        by_theta = residual(theta + 1j * step_theta, y).imag / step_theta
        by_y = residual(theta, y + 1j * step_y).imag / step_y
        determinant = by_theta[0] * by_y[1] - by_y[0] * by_theta[1]
        theta = theta - (by_y[1] * f[0] - by_y[0] * f[1]) / determinant
        y = y - (by_theta[0] * f[1] - by_theta[1] * f[0]) / determinant
    edge = -system(problem, theta + 0j, y + 0j, nothing + 0j).a.real
    wide = above - below
    strayed = ~((edge > below - wide) & (edge < above + wide))
    if strayed.any():
        raise InputError(
            f"an edge near lambda = {below[strayed][0] + problem.numbers.s02:g} can't be told: bands almost "
            "merge. Move psi_p or psi_n by a percent."
        )
    return edge
