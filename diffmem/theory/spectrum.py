"""The limiting spectrum of U, d, n, p -> ∞ at fixed ψ_p = p/d, ψ_n = n/d: density, atom, bands.

q(z) = (1/p) Tr (U - z)⁻¹; r and s are the same trace weighted by W Σ Wᵀ/d and W Wᵀ/d. They solve
  D = 1 + a² e^{-2t} (ψ_p/ψ_n) r + (ψ_p/ψ_n) v² q,   ŝ = b² ψ_p + 1/q,   r̂ = ψ_p a² e^{-2t}/D
  s = <1/(ŝ + μ r̂)>,   r = <μ/(ŝ + μ r̂)>,   ψ_p (s0² - z) + ψ_p v²/D + (1 - ψ_p)/q - s/q² = 0
and ρ(λ) = Im q(λ + i0)/π. `solver` finds them for all λ at once.

Eigenvalues from the bottom: an atom at s0², which no loss feels; `low`; `bulk1`, the directions of single training
points (memorization); `bulk2`, those of the population (generalization). Source: Bonnaire et al. 2025, section 4.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffmem.errors import InputError
from diffmem.theory.constants import Activation
from diffmem.theory.edges import masses, support
from diffmem.theory.solver import Array, Complex, Problem, follow, moments

Cov = tuple[ArrayLike, ArrayLike]
LARGEST_RESIDUAL = 1e-9  # of every equation, relative to its largest term
SAME = 1e-6  # masses closer than this are one


class Solution(NamedTuple):
    """q, r, s, D at z [P] with the largest relative residual of the equations; NaN where not `converged`."""

    z: Complex
    q: Complex
    r: Complex
    s: Complex
    D: Complex
    residual: Array
    converged: NDArray[np.bool_]


class Atom(NamedTuple):
    """Eigenvalues that all equal `location`, a share `mass` of all."""

    location: float
    mass: float


class Band(NamedTuple):
    """An interval of the spectrum, the share of the eigenvalues in it, and which of low, bulk1, bulk2 they are."""

    low: float
    high: float
    mass: float
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Bands:
    """The atom and the bands, ascending. `merged` names neighbouring parts that share a band."""

    atom: Atom
    bands: tuple[Band, ...]

    @property
    def merged(self) -> tuple[tuple[str, str], ...]:
        return tuple(
            (one, other) for band in self.bands for one, other in zip(band.parts[:-1], band.parts[1:], strict=True)
        )

    def alone(self, part: str) -> tuple[Band, ...]:
        """The bands of `part`; none where it does not exist or shares a band with another."""
        holding = tuple(band for band in self.bands if part in band.parts)
        return holding if all(band.parts == (part,) for band in holding) else ()


def solve(
    lam: ArrayLike, *, psi_p: float, psi_n: float, t: float, activation: Activation = "tanh", cov: Cov | None = None
) -> Solution:
    """q, r, s, D at all of `lam` [P] (real: the limit from above; or complex, Im >= 0).

    `cov` is (eigenvalues [m], weights [m]) of the data's covariance, None for Σ = I. A point where the branch was lost
    or a residual is above 1e-9, and the place of the atom itself, comes back as NaN with `converged` False.
    Raises InputError for bad ratios, t, activation, covariance, or points below the real axis.
    """
    problem = Problem.of(psi_p=psi_p, psi_n=psi_n, t=t, activation=activation, cov=cov)
    z = np.atleast_1d(np.asarray(lam, dtype=np.complex128))
    if z.ndim != 1 or not np.isfinite(z).all() or (z.imag < 0).any():
        raise InputError("lambda must be a list of finite numbers, real or in the upper half plane.")
    zeta = z - problem.numbers.s02
    point = follow(problem, zeta)
    (n0, n1), _ = moments(problem, point.theta, point.y)
    q, r, s, d = 1 / (psi_p * point.theta), n1 / psi_p, n0 / psi_p, 1 / point.y
    with np.errstate(all="ignore"):
        residual = _residual(problem, z, q, r, s, d)
    converged = point.converged & (zeta != 0) & (residual < LARGEST_RESIDUAL)
    q, r, s, d = (np.where(converged, part, np.nan) for part in (q, r, s, d))
    return Solution(z, q, r, s, d, residual, converged)


def density(
    lam: ArrayLike, *, psi_p: float, psi_n: float, t: float, activation: Activation = "tanh", cov: Cov | None = None
) -> Array:
    """ρ [P] at real `lam` [P], without the atom; it integrates to 1 - atom.mass. Arguments as in `solve`.

    Raises InputError as `solve` does, and for a λ where no solution can be trusted.
    """
    found = solve(np.asarray(lam, dtype=np.float64), psi_p=psi_p, psi_n=psi_n, t=t, activation=activation, cov=cov)
    if not found.converged.all():
        raise InputError(
            f"the spectrum at lambda = {found.z.real[~found.converged][0]:.9g} is not known: it is the place of the "
            "atom, or the solver lost its branch there. Leave this lambda out, or see spectrum.solve, which flags it."
        )
    return np.maximum(found.q.imag, 0.0) / np.pi


def atom(*, psi_p: float, psi_n: float, t: float, activation: Activation = "tanh", cov: Cov | None = None) -> Atom:
    """The atom at s0², of mass 1 - (1 + ψ_n)/ψ_p where ψ_p > ψ_n + 1, else 0. Arguments and errors as in `solve`."""
    problem = Problem.of(psi_p=psi_p, psi_n=psi_n, t=t, activation=activation, cov=cov)
    return _atom(problem)


def bands(*, psi_p: float, psi_n: float, t: float, activation: Activation = "tanh", cov: Cov | None = None) -> Bands:
    """Every band with its edges and mass, from the equations, and what has merged. Arguments as in `solve`.

    Raises InputError as `solve` does, and where the masses found do not sum to 1 (within 1e-6).
    """
    problem = Problem.of(psi_p=psi_p, psi_n=psi_n, t=t, activation=activation, cov=cov)
    edges, found = support(problem), _atom(problem)
    mass = masses(problem, edges)
    if abs(mass.sum() + found.mass - 1) > SAME:
        raise InputError(
            f"the bands found at psi_p={psi_p:g}, psi_n={psi_n:g}, t={t:g} hold {mass.sum() + found.mass:.6f} of the "
            "eigenvalues, not 1: one is too narrow to find or lies at 0. Move psi_p or psi_n by a percent."
        )
    ends = np.cumsum(np.concatenate([[0.0], mass]))
    named = [
        Band(float(low), float(high), float(m), _parts(problem, start, end))
        for (low, high), m, start, end in zip(edges + problem.numbers.s02, mass, ends[:-1], ends[1:], strict=True)
    ]
    return Bands(found, tuple(named))


def _atom(problem: Problem) -> Atom:
    return Atom(problem.numbers.s02, max(1 - (1 + problem.psi_n) / problem.psi_p, 0.0))


def _parts(problem: Problem, start: float, end: float) -> tuple[str, ...]:
    """The parts that hold the eigenvalues from share `start` to share `end`, counted above the atom.

    G Gᵀ has rank n and W Wᵀ rank d: of the p eigenvalues min(p, n, d) feel the population, min(p, n) - d more the
    single points, min(p - n, d) more W alone.
    """
    p, n = problem.psi_p, problem.psi_n
    shares = {"low": min(max(p - n, 0), 1) / p, "bulk1": max(min(p, n) - 1, 0) / p, "bulk2": min(p, n, 1) / p}
    parts, below = [], 0.0
    for name, share in shares.items():
        if min(end, below + share) - max(start, below) > SAME:
            parts.append(name)
        below += share
    return tuple(parts)


def _residual(problem: Problem, z: Complex, q: Complex, r: Complex, s: Complex, d: Complex) -> Array:
    """The largest residual of the equations at the head of this module, each relative to its largest term: [P]."""
    c, psi_p, psi_n = problem.numbers, problem.psi_p, problem.psi_n
    ratio = psi_p / psi_n
    s_hat, r_hat = c.b**2 * psi_p + 1 / q, psi_p * c.alpha / d
    share = 1 / (s_hat[:, None] + problem.mu * r_hat[:, None])
    equations = (
        (d, -np.ones_like(d), -c.alpha * ratio * r, -c.v2 * ratio * q),
        (s, -share @ problem.weight),
        (r, -share @ (problem.weight * problem.mu)),
        (psi_p * (c.s02 - z), psi_p * c.v2 / d, (1 - psi_p) / q, -s / q**2),
    )
    relative = [np.abs(sum(terms)) / np.max(np.abs(terms), axis=0) for terms in equations]
    return np.asarray(np.max(relative, axis=0))
