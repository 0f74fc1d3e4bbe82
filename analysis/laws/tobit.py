"""Linear regression with censored values, by maximum likelihood, for many weightings of the same data at once.

    y = x b + σ z,   z ~ N(0, 1);   of a censored y only a bound is known

With θ = 1/σ and γ = θ b the log-likelihood is concave (Olsen 1978), so Newton's method finds its maximum from anywhere.

B weightings, N values, k coefficients.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

Array = NDArray[np.float64]
SHARPEST = 1e6  # 1/σ at which a fit counts as exact


class _Reached(NamedTuple):
    """What the likelihood needs of the values that are known."""

    number: Array  # [B]
    gram: Array  # [B, k + 1, k + 1], weighted

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "_Reached":
        return _Reached(self.number[rows], self.gram[rows])


def fit_tobit(
    x: Array, y: Array, censored: NDArray[np.int64], weight: Array, steps: int = 60
) -> tuple[Array, Array, Array]:
    """Maximum likelihood of y = x b + σ z for B weightings of the same N runs.

    x [N, k], y [N], censored [N] (1: above y, -1: below y), weight [B, N]. Returns b [B, k], σ [B] and the covariance
    of b [B, k, k] from the observed information. The runs with weight must tell the coefficients apart.
    Source: Olsen 1978, "Note on the uniqueness of the maximum likelihood estimator for the Tobit model".
    """
    design = np.column_stack([x, -y])  # [N, k + 1]: design @ p = (x b - y) / σ at p = (b, 1) / σ
    open_ended = censored != 0
    known = weight[:, ~open_ended]
    reached = _Reached(known.sum(axis=1), np.tensordot(known, outer(design[~open_ended]), axes=1))
    bounds = np.where(censored < 0, -1.0, 1.0)[open_ended, None] * design[open_ended]
    weight_open = weight[:, open_ended]
    p = _least_squares_start(x, y, weight)
    hessian = np.empty_like(reached.gram)
    value = _log_likelihood(p, reached, bounds, weight_open)
    active = np.arange(len(weight))
    for _ in range(steps):
        q, w, some = p[active], weight_open[active], reached.take(active)
        hazard, curvature = _hazard(q @ bounds.T)
        gradient = (w * hazard) @ bounds - np.einsum("bij,bj->bi", some.gram, q)
        gradient[:, -1] += some.number / q[:, -1]
        bend = some.gram + np.tensordot(w * curvature, outer(bounds), axes=1)
        bend[:, -1, -1] += some.number / q[:, -1] ** 2
        hessian[active] = bend
        move = np.linalg.solve(bend, gradient[..., None])[..., 0]
        going = ((gradient * move).sum(axis=1) > 1e-10) & (q[:, -1] < SHARPEST)
        if not going.any():
            break
        active, q, w, move, some = active[going], q[going], w[going], move[going], some.take(going)
        length = np.ones(len(active))
        for _ in range(40):
            trial = q + length[:, None] * move
            new = _log_likelihood(trial, some, bounds, w)
            worse = new < value[active] - 1e-9 * abs(value[active])
            if not worse.any():
                break
            length[worse] /= 2
        p[active], value[active] = trial, new
    return p[:, :-1] / p[:, -1:], 1 / p[:, -1], _covariance(p, hessian)


def _least_squares_start(x: Array, y: Array, weight: Array) -> Array:
    gram = np.tensordot(weight, outer(x), axes=1)
    b = np.linalg.solve(gram, (weight @ (x * y[:, None]))[..., None])[..., 0]
    residual = y - b @ x.T
    sigma = np.sqrt((weight * residual**2).sum(axis=1) / weight.sum(axis=1))
    inverse = 1 / np.maximum(sigma, 1 / SHARPEST)
    return np.column_stack([b * inverse[:, None], inverse])


def _log_likelihood(p: Array, reached: _Reached, bounds: Array, weight: Array) -> Array:
    positive = p[:, -1] > 0
    log_theta = np.log(np.where(positive, p[:, -1], 1.0))
    squares = np.einsum("bi,bij,bj->b", p, reached.gram, p)
    beyond = (weight * log_ndtr(p @ bounds.T)).sum(axis=1)
    total: Array = np.where(positive, reached.number * log_theta - 0.5 * squares + beyond, -np.inf)
    return total


def _hazard(z: Array) -> tuple[Array, Array]:
    """φ(z)/Φ(z) and minus its derivative, which lies in [0, 1]."""
    far = z < -1e3  # there the ratio is -z to six digits, and the difference of logarithms has lost its own
    near = np.where(far, 0.0, z)
    ratio = np.where(far, -z, np.exp(-0.5 * near**2 - log_ndtr(near)) / np.sqrt(2 * np.pi))
    return ratio, np.where(far, 1.0, np.clip(ratio * (ratio + z), 0.0, 1.0))


def outer(rows: Array) -> Array:
    """x x^T of every row: [N, k, k]."""
    return rows[:, :, None] * rows[:, None, :]


def _covariance(p: Array, hessian: Array) -> Array:
    """Covariance of b = γ/θ from the information on (γ, θ), by the delta method: [B, k, k]."""
    k = p.shape[1] - 1
    jacobian = np.zeros((len(p), k, k + 1))
    jacobian[:, range(k), range(k)] = 1 / p[:, -1:]
    jacobian[:, :, -1] = -p[:, :-1] / p[:, -1:] ** 2
    covariance: Array = jacobian @ np.linalg.inv(hessian) @ jacobian.transpose(0, 2, 1)
    return covariance


def working(x: Array, y: Array, censored: NDArray[np.int64], b: Array, sigma: float) -> tuple[Array, Array]:
    """Values whose weighted least squares is the fit (b, σ), and their weights: [N] twice.

    A value that is known is itself, of weight 1; a censored one lies beyond its bound, where its score and information
    put it, with the share of information that it has (at least 1e-6).
    """
    middle = x @ b
    sign = np.where(censored < 0, -1.0, 1.0)
    hazard, curvature = _hazard(sign * (middle - y) / sigma)
    share = np.maximum(curvature, 1e-6)
    beyond = censored != 0
    return np.where(beyond, middle + sign * sigma * hazard / share, y), np.where(beyond, share, 1.0)
