"""The theory's fixed point at any complex z: two unknowns, solved for all z at once.

With ζ = z - s0² (all of the spectrum lies at ζ >= 0), θ = 1/(ψ_p q) and y = 1/D, the equations of the spectrum become

  A:  θ (ψ_p - <M N>) - v² y + ζ = 0            M(μ) = α μ y + b²,   N(μ) = 1/(M + θ),   α = a² e^{-2t}
  B:  ψ_n (1 - y) - y (α <μ N> + v²/θ) = 0      q = 1/(ψ_p θ),   ψ_p s = <N>,   ψ_p r = <μ N>,   D = 1/y

N is the equivalent of Wᵀ (U - z)⁻¹ W/d. Below the spectrum θ and y are positive, and far below it θ = -ζ/ψ_p and y = 1:
there the solution is known. It is followed down to |ζ|, then round to the angle of ζ, by Newton's method in
(log θ, log y) from a tangent step. In the upper half plane Im θ < 0 and Im y < 0 (q and D map it into itself), which
tells a lost branch.

P points, m eigenvalues.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffmem.theory.constants import Array
from diffmem.theory.model import Model

Complex = NDArray[Any]  # complex128

CONVERGED = 1e-13  # residual relative to the terms of each equation
SCHEDULES = (
    (2.0, 0.4),
    (0.7, 0.7),
    (0.25, 0.88),
)  # (step of log |ζ|, factor of the angle that is left), coarse to fine
NEAREST = 1e-30  # |ζ| of a point that is the atom's place
MOST_STEPS = 30  # of Newton's method at one place
LAST_ANGLE = 1e-7  # of a point on the axis, before it is put there
ROUNDING = 1e-7  # of an imaginary part at the edge of a band
TILE = 2**21  # complex numbers in one [P, m] array: bounds memory


class Point(NamedTuple):
    """θ and y at P points; `converged` is False where the branch was lost, and the numbers there mean nothing."""

    theta: Complex
    y: Complex
    converged: NDArray[np.bool_]


def follow(model: Model, zeta: ArrayLike) -> Point:
    """The solution at `zeta` [P], Im ζ >= 0, not 0; on the real axis its limit from above."""
    target = np.asarray(zeta, dtype=np.complex128)
    theta, y = np.ones_like(target), np.ones_like(target)
    done = np.zeros(target.shape, dtype=bool)
    for step, left in SCHEDULES:
        lost = np.flatnonzero(~done & (np.abs(target) > NEAREST))
        for tile in tiles(model, len(lost)):
            part = lost[tile]
            theta[part], y[part], done[part] = _follow(model, target[part], step, left)
    return Point(theta, y, done)


def continued(model: Model, zeta: Complex, guess: Point) -> Point:
    """The solution at `zeta` [P], Im ζ > 0, by Newton's method from `guess` [P]; by `follow` where that fails."""
    x, _, good = _newton(model, np.log(np.stack([guess.theta, guess.y])), zeta)
    good &= x.imag.max(axis=0) <= ROUNDING
    theta, y = np.exp(x)
    if not good.all():
        theta[~good], y[~good], good[~good] = follow(model, zeta[~good])
    return Point(theta, y, good)


def tiles(model: Model, count: int) -> Iterator[slice]:
    """Slices of `count` points whose [P, m] arrays are of bounded size."""
    size = max(TILE // len(model.mu), 1)
    return (slice(start, start + size) for start in range(0, count, size))


def _follow(model: Model, target: Complex, step: float, left: float) -> Point:
    """Along one schedule, from far below the spectrum to each `target` [P]."""
    radius, angle = np.log(np.abs(target)), np.angle(target)
    far = np.maximum(math.log(1e3 * model.zeta_bound), radius)
    place = far + 1j * math.pi  # log ζ
    x = np.stack([far - math.log(model.psi_p), np.zeros_like(far)]).astype(np.complex128)
    x, tangent, good = _newton(model, x, np.exp(place))
    for goal in _path(far, radius, angle, step, left):
        move = tangent * (goal - place)
        x = x + move * np.minimum(1.0, 1.5 / np.maximum(np.abs(move).max(axis=0), 1e-300))
        place = goal
        x, tangent, converged = _newton(model, x, np.exp(place))
        good &= converged & (x.imag.max(axis=0) <= ROUNDING)
    return Point(np.exp(x[0]), np.exp(x[1]), good)


def _path(far: Array, radius: Array, angle: Array, step: float, left: float) -> list[Complex]:
    """Places of log ζ: straight down the negative axis, then round, ever slower, to the angle of each point."""
    count = max(math.ceil(float(np.max(far - radius, initial=0.0)) / step), 1)
    path = [far + (radius - far) * k / count + 1j * math.pi for k in range(1, count + 1)]
    if (angle < math.pi).any():
        last = max(LAST_ANGLE, 0.1 * float(angle.min()))
        turns = math.ceil(math.log(last / math.pi) / math.log(left))
        path += [radius + 1j * (angle + (math.pi - angle) * left**k) for k in range(1, turns + 1)]
        path.append(radius + 1j * angle)
    return path


def moments(model: Model, theta: Complex, y: Complex) -> tuple[Complex, Complex]:
    """<μ^k N> for k = 0, 1 [2, P] and <μ^k N²> for k = 0, 1, 2 [3, P]."""
    c, mu = model.constants, model.mu
    powers = model.weight * np.stack([np.ones_like(mu), mu, mu**2])
    n = 1 / ((theta + c.b**2)[:, None] + (c.alpha * y)[:, None] * mu)
    if len(mu) == 1:  # Σ = I: a product of matrices would cost more than the numbers
        return powers[:2] * n[:, 0], powers * n[:, 0] ** 2
    first: Complex = powers[:2] @ n.T
    second: Complex = powers @ (n * n).T
    return first, second


class _System(NamedTuple):
    """Residuals of A and B, the sizes of their terms, their derivatives by θ and y, all [P]; ∂A/∂ζ = 1, ∂B/∂ζ = 0."""

    a: Complex
    b: Complex
    size_a: Array
    size_b: Array
    a_theta: Complex
    a_y: Complex
    b_theta: Complex
    b_y: Complex

    @property
    def determinant(self) -> Complex:
        determinant: Complex = self.a_theta * self.b_y - self.a_y * self.b_theta
        return determinant


def system(model: Model, theta: Complex, y: Complex, zeta: Complex) -> _System:
    """The two equations and their derivatives, written out, at P points."""
    c, psi_p, psi_n = model.constants, model.psi_p, model.psi_n
    (n0, n1), (nn0, nn1, nn2) = moments(model, theta, y)
    mn = c.alpha * y * n1 + c.b**2 * n0  # <M N>
    mnn = c.alpha * y * nn1 + c.b**2 * nn0  # <M N²>
    features = c.alpha * n1 + c.v2 / theta  # Tr C Q/d
    return _System(
        a=theta * (psi_p - mn) - c.v2 * y + zeta,
        b=psi_n * (1 - y) - y * features,
        size_a=np.abs(theta) * (psi_p + np.abs(mn)) + c.v2 * np.abs(y) + np.abs(zeta),
        size_b=psi_n * (1 + np.abs(y)) + np.abs(y * features),
        a_theta=psi_p - mn + theta * mnn,
        a_y=-c.alpha * theta**2 * nn1 - c.v2,
        b_theta=y * (c.alpha * nn1 + c.v2 / theta**2),
        b_y=-psi_n - features + c.alpha**2 * y * nn2,
    )


def _newton(model: Model, x: Complex, zeta: Complex) -> tuple[Complex, Complex, NDArray[np.bool_]]:
    """x = (log θ, log y) [2, P] at ζ [P], dx/d log ζ [2, P], and where it converged; such points rest."""
    x, tangent, active = x.copy(), np.zeros_like(x), np.arange(len(zeta))
    for _ in range(MOST_STEPS):
        theta, y = np.exp(x[:, active])
        f = system(model, theta, y, zeta[active])
        scale = np.stack([theta, y]) * f.determinant
        tangent[:, active] = np.stack([-f.b_y, f.b_theta]) * zeta[active] / scale
        unsolved = ~((np.abs(f.a) <= CONVERGED * f.size_a) & (np.abs(f.b) <= CONVERGED * f.size_b))
        move = (np.stack([f.a_y * f.b - f.b_y * f.a, f.b_theta * f.a - f.a_theta * f.b]) / scale)[:, unsolved]
        active = active[unsolved]
        if not len(active):
            break
        x[:, active] += move * np.minimum(1.0, 1.0 / np.maximum(np.abs(move).max(axis=0), 1e-300))
    converged = np.ones(len(zeta), dtype=bool)
    converged[active] = False
    return x, tangent, converged
