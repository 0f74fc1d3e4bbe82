"""The limiting spectrum of U, d, n, p -> ∞ at fixed ψ_p = p/d, ψ_n = n/d: density, atom, bands.

q(z) = (1/p) Tr (U - z)⁻¹; r and s are the same trace weighted by W Σ Wᵀ/d and W Wᵀ/d. They solve
  D = 1 + a² e^{-2t} (ψ_p/ψ_n) r + (ψ_p/ψ_n) v² q,   ŝ = b² ψ_p + 1/q,   r̂ = ψ_p a² e^{-2t}/D
  s = <1/(ŝ + μ r̂)>,   r = <μ/(ŝ + μ r̂)>,   ψ_p (s0² - z) + ψ_p v²/D + (1 - ψ_p)/q - s/q² = 0
and ρ(λ) = Im q(λ + i0)/π. `solver` finds them for all λ at once.

Eigenvalues from the bottom: an atom at s0², which no loss feels; `low`; `bulk1`, the directions of single training
points (memorization); `bulk2`, those of the population (generalization). Source: Bonnaire et al. 2025, section 4.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffmem.errors import InputError
from diffmem.theory.constants import Array
from diffmem.theory.edges import share_below, support
from diffmem.theory.model import Model
from diffmem.theory.solver import Complex, follow, moments, tiles

LARGEST_RESIDUAL = 1e-9  # of every equation, relative to its largest term
SAME = 1e-6  # a share of a band below this is rounding


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


def solve(model: Model, lam: ArrayLike) -> Solution:
    """q, r, s, D at all of `lam` [P] (real: the limit from above; or complex, Im >= 0).

    A point where the branch was lost or a residual is above 1e-9, and the place of the atom itself, comes back as NaN
    with `converged` False. Raises InputError for points that are not finite or lie below the real axis.
    """
    z = np.atleast_1d(np.asarray(lam, dtype=np.complex128))
    if z.ndim != 1 or not np.isfinite(z).all() or (z.imag < 0).any():
        raise InputError("lambda must be a list of finite numbers, real or in the upper half plane.")
    zeta = z - model.constants.s02
    point = follow(model, zeta)
    q, d = 1 / (model.psi_p * point.theta), 1 / point.y
    r, s, residual = np.empty_like(z), np.empty_like(z), np.empty(len(z))
    for tile in tiles(model, len(z)):
        (n0, n1), _ = moments(model, point.theta[tile], point.y[tile])
        s[tile], r[tile] = n0 / model.psi_p, n1 / model.psi_p
        residual[tile] = _residual(model, z[tile], q[tile], r[tile], s[tile], d[tile])
    converged = point.converged & (residual < LARGEST_RESIDUAL)
    q, r, s, d = (np.where(converged, part, np.nan) for part in (q, r, s, d))
    return Solution(z, q, r, s, d, residual, converged)


def density(model: Model, lam: ArrayLike) -> Array:
    """ρ [P] at real `lam` [P], without the atom; it integrates to 1 - atom.mass.

    Raises InputError as `solve` does, and for a λ where no solution can be trusted.
    """
    solution = solve(model, np.asarray(lam, dtype=np.float64))
    _require(solution.converged, solution.z.real)
    rho: Array = np.maximum(solution.q.imag, 0.0) / np.pi
    return rho


def bulk1_limit(model: Model) -> tuple[float, float]:
    """Edges of bulk 1 as ψ_p, ψ_n -> ∞ at fixed ratio: s0² + v² (1 ± sqrt(ψ_p/ψ_n))², whatever Σ is.

    Source: Marchenko and Pastur 1967; Bonnaire et al. 2025, section 4.
    """
    c, root = model.constants, math.sqrt(model.psi_p / model.psi_n)
    return c.s02 + c.v2 * (1 - root) ** 2, c.s02 + c.v2 * (1 + root) ** 2


def cumulative(model: Model, lam: ArrayLike) -> Array:
    """The share [P] of all eigenvalues, the atom's too, below real `lam` [P]. Errors as `density`."""
    z = np.atleast_1d(np.asarray(lam, dtype=np.float64))
    zeta = z - model.constants.s02
    point = follow(model, zeta)
    _require(point.converged, z)
    return share_below(model, zeta, point)


def atom(model: Model) -> Atom:
    """The atom at s0², of mass 1 - (1 + ψ_n)/ψ_p where ψ_p > ψ_n + 1, else 0."""
    return Atom(model.constants.s02, max(1 - (1 + model.psi_n) / model.psi_p, 0.0))


def bands(model: Model) -> Bands:
    """Every band with its edges and mass, from the equations, and what has merged.

    Raises InputError where a band can't be told from its neighbours or is too narrow to find.
    """
    edges, shares = support(model)
    named = [
        Band(float(low), float(high), float(end - start), _parts(model, start, end))
        for (low, high), (start, end) in zip(edges + model.constants.s02, shares, strict=True)
    ]
    return Bands(atom(model), tuple(named))


def _require(converged: NDArray[np.bool_], lam: Array) -> None:
    if not converged.all():
        raise InputError(
            f"the spectrum at lambda = {lam[~converged][0]:.9g} is not known: it is the place of the atom, or the "
            "solver lost its branch there. Leave this lambda out, or see spectrum.solve, which flags it."
        )


def _parts(model: Model, start: float, end: float) -> tuple[str, ...]:
    """The parts that hold the eigenvalues from share `start` to share `end` of all.

    G Gᵀ has rank n and W Wᵀ rank d: of the p eigenvalues min(p, n, d) feel the population, min(p, n) - d more the
    single points, min(p - n, d) more W alone; the atom has what is left.
    """
    p, n = model.psi_p, model.psi_n
    shares = {"low": min(max(p - n, 0), 1) / p, "bulk1": max(min(p, n) - 1, 0) / p, "bulk2": min(p, n, 1) / p}
    parts, below = [], 1 - sum(shares.values())
    for name, share in shares.items():
        if min(end, below + share) - max(start, below) > SAME:
            parts.append(name)
        below += share
    return tuple(parts)


def _residual(model: Model, z: Complex, q: Complex, r: Complex, s: Complex, d: Complex) -> Array:
    """The largest residual of the equations at the head of this module, each relative to its largest term: [P]."""
    c, psi_p, psi_n = model.constants, model.psi_p, model.psi_n
    ratio = psi_p / psi_n
    s_hat, r_hat = c.b**2 * psi_p + 1 / q, psi_p * c.alpha / d
    share = 1 / (s_hat[:, None] + model.mu * r_hat[:, None])
    equations = (
        (d, -np.ones_like(d), -c.alpha * ratio * r, -c.v2 * ratio * q),
        (s, -share @ model.weight),
        (r, -share @ (model.weight * model.mu)),
        (psi_p * (c.s02 - z), psi_p * c.v2 / d, (1 - psi_p) / q, -s / q**2),
    )
    relative = [np.abs(sum(terms)) / np.max(np.abs(terms), axis=0) for terms in equations]
    return np.asarray(np.max(relative, axis=0))
