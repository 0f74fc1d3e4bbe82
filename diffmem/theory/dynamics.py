"""Learning curves: losses against training time τ, exact at finite size and in the limit.

τ = (steps) lr/d² of plain gradient descent on L_train = (1/dn) Σ_ν E_ξ ‖sqrt(Δ_t) s_A(x_t^ν) + ξ‖² from A = 0. With
U = (1/n) Σ_ν E_ξ[z_ν z_νᵀ], V = (1/n) Σ_ν E_ξ[z_ν ξᵀ] of the features z_ν = σ(W x_t^ν/√d), and Ũ, Ṽ of the population,

  f(λ) = (1 - e^{-2 Δ_t λ τ/ψ_p})/λ,     sqrt(Δ_t) A/√p = -Vᵀ f(U)
  L_train = 1 - (1/d) Tr Vᵀ (1 - e^{-4 Δ_t U τ/ψ_p}) U⁻¹ V
  L_test  = 1 - (2/d) Tr Vᵀ f(U) Ṽ + (1/d) Tr Vᵀ f(U) Ũ f(U) V

The error of the score, E‖s_A - s_true‖²/d, is (L_test - L*)/Δ_t with the loss of the true score, L* = 1 - Δ_t <1/Σ_t>,
Σ_t = e^{-2t} Σ + Δ_t I (Vincent 2011: denoising and explicit score matching differ by a constant).

In the limit V = Ṽ = b W/√d, the traces become contour integrals of `resolvents`, and
  L_train = 1 + (b²/2πi) ∮ (1 - e^{-4 Δ_t z τ/ψ_p})/z S(z) dz
  L_test  = 1 + (2 b²/2πi) ∮ f(z) S(z) dz + (b²/(2πi)²) ∮∮ f(z1) f(z2) F(z1, z2) dz1 dz2
Source: Bonnaire et al. 2025, section 4, for the gradient flow; docs/two_resolvent_curves.md for the test loss.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline

from diffmem.errors import InputError
from diffmem.theory.constants import Array
from diffmem.theory.model import Model
from diffmem.theory.resolvents import one_resolvent, two_resolvents
from diffmem.theory.simulate import Draw
from diffmem.theory.solver import Complex, Point, continued, follow

HALF_HEIGHT = 1.4  # of the contour in log z: below π/2, so that every exponential decays on it
POINTS = (96, 192, 384, 768, 1536)  # on half of the contour
LARGEST_ERROR = 1e-6  # of a loss in the limit


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Losses [K] at training times tau [K]. `error` bounds the numerical error of a limit curve."""

    tau: Array
    train: Array
    test: Array
    best: float  # L*: the test loss of the true score
    delta_t: float
    error: float = 0.0

    @property
    def gen(self) -> Array:
        """L_gen = L_test - L_train."""
        return self.test - self.train

    @property
    def score_error(self) -> Array:
        """E‖s_A(x_t) - s_true(x_t)‖²/d over the population."""
        return (self.test - self.best) / self.delta_t


def finite_curves(draw: Draw, tau: ArrayLike) -> Curves:
    """The exact curves of one `draw` at `tau` [K], from one eigendecomposition of U. Raises InputError for bad tau."""
    times = _checked(tau)
    rate = 2 * draw.delta_t / draw.psi_p
    eigenvalues, vectors = np.linalg.eigh(draw.u)
    v, v_test = vectors.T @ draw.v, vectors.T @ draw.v_test
    power, overlap = (v**2).sum(axis=1), (v * v_test).sum(axis=1)
    quadratic = (vectors.T @ draw.u_test @ vectors) * (v @ v.T)
    d = draw.v.shape[1]
    decay = -rate * np.maximum(eigenvalues, 0.0)[:, None] * times  # [p, K]
    safe = np.maximum(eigenvalues, np.finfo(float).tiny)[:, None]
    f, twice = -np.expm1(decay) / safe, -np.expm1(2 * decay) / safe
    flat = eigenvalues <= 0  # f(λ) -> rate τ as λ -> 0
    f[flat], twice[flat] = rate * times, 2 * rate * times
    return Curves(
        tau=times,
        train=1 - power @ twice / d,
        test=1 - 2 * overlap @ f / d + np.einsum("ik,ik->k", f, quadratic @ f) / d,
        best=draw.best,
        delta_t=draw.delta_t,
    )


def limit_curves(model: Model, tau: ArrayLike) -> Curves:
    """The curves at `tau` [K] for d, n, p -> ∞.

    The trapezoid rule on the contour converges geometrically: its points double until half of them give the same curves
    to 1e-7, which is returned as `error`. Raises InputError for bad tau, and where the curves are not known to 1e-6.
    """
    times = _checked(tau)
    c = model.constants
    contour = _contour(model, POINTS[0])
    curves, error = _integrals(model, times, contour), math.inf
    for points in POINTS[1:]:
        contour, before = _contour(model, points, contour), curves
        curves = _integrals(model, times, contour)
        error = float(np.max(np.abs(curves - before), initial=0.0))
        if error < 0.1 * LARGEST_ERROR:
            break
    if not error < LARGEST_ERROR:
        raise InputError(
            f"the limit curves at {model} are known to {error:.1e} only: give a larger t or ratios nearer to 1."
        )
    sigma_t = math.exp(-2 * model.t) * model.mu + c.delta_t
    best = 1 - c.delta_t * float(model.weight @ (1 / sigma_t))
    return Curves(tau=times, train=curves[0], test=curves[1], best=best, delta_t=c.delta_t, error=error)


class _Contour(NamedTuple):
    """The upper half of the contour, all [P]: angle φ, z, the trapezoid rule's weight dz/(2πi), the solution."""

    phi: Array
    z: Complex
    weight: Complex
    point: Point


def _contour(model: Model, points: int, coarser: _Contour | None = None) -> _Contour:
    """z = e^w, w on an ellipse about the logarithms of the spectrum; started from a `coarser` one if there is."""
    c = model.constants
    low, high = math.log(c.s02 / 4), math.log(1.5 * (model.zeta_bound + c.s02))
    phi = (np.arange(points) + 0.5) * np.pi / points
    z = np.exp((low + high) / 2 + (high - low) / 2 * np.cos(phi) + 1j * HALF_HEIGHT * np.sin(phi))
    dw = -(high - low) / 2 * np.sin(phi) + 1j * HALF_HEIGHT * np.cos(phi)
    if coarser is None:
        point = follow(model, z - c.s02)
    else:
        known = np.log(np.stack([coarser.point.theta, coarser.point.y], axis=1))
        theta, y = np.exp(CubicSpline(coarser.phi, known)(phi)).T
        point = continued(model, z - c.s02, Point(theta, y, np.ones(points, dtype=bool)))
    if not point.converged.all():
        raise InputError(
            f"the solver lost its branch at z = {z[~point.converged][0]:.6g} on the contour of the limit curves: "
            "move psi_p or psi_n by a percent."
        )
    return _Contour(phi, z, z * dw / (2j * points), point)


def _integrals(model: Model, tau: Array, contour: _Contour) -> Array:
    """(L_train, L_test) [2, K] at tau [K]; the lower half of the contour is the conjugate of the upper."""
    _, z, weight, point = contour
    b2 = model.constants.b**2
    exponent = -2 * model.constants.delta_t / model.psi_p * z[:, None] * tau
    f, twice = (-np.expm1(k * exponent) * (weight / z)[:, None] for k in (1, 2))  # [P, K]
    s = one_resolvent(model, point)
    lower = Point(point.theta.conj(), point.y.conj(), point.converged)
    upper, crossed = (two_resolvents(model, point, other) for other in (point, lower))
    squared = 2 * np.einsum("ik,ik->k", f, upper @ f + crossed @ f.conj()).real
    return np.stack([1 + 2 * b2 * (s @ twice).real, 1 + b2 * (4 * (s @ f).real + squared)])


def _checked(tau: ArrayLike) -> Array:
    times = np.atleast_1d(np.asarray(tau, dtype=np.float64))
    if times.ndim != 1 or not np.isfinite(times).all() or (times < 0).any():
        raise InputError("tau must be a list of finite training times, 0 or more.")
    return times
