"""Linear regression with censored values, by maximum likelihood, for many weightings of the same data at once.

    y = x b + σ z,   z ~ N(0, 1);   of a censored y only a bound is known

With θ = 1/σ and γ = θ b the log-likelihood is concave (Olsen 1978), so Newton's method finds its maximum from anywhere.

B weightings, N values, k coefficients.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

Array = NDArray[np.float64]
SHARPEST = 1e6  # 1/σ at which a fit counts as exact


def fit_tobit(
    x: Array, y: Array, censored: NDArray[np.int64], weight: Array, steps: int = 60
) -> tuple[Array, Array, Array]:
    """Maximum likelihood of y = x b + σ z for B weightings of the same N runs.

    x [N, k], y [N], censored [N] (1: above y, -1: below y), weight [B, N]. Returns b [B, k], σ [B] and the covariance
    of b [B, k, k] from the observed information. The runs with weight must tell the coefficients apart.
    Source: Olsen 1978, "Note on the uniqueness of the maximum likelihood estimator for the Tobit model".
    """
    rows, k = len(weight), x.shape[1]
    design = np.column_stack([x, -y])  # [N, k + 1]: design @ p = (x b - y) / σ at p = (b, 1) / σ
    reached = censored == 0
    side = np.where(censored < 0, -1.0, 1.0)
    n_reached = weight @ reached
    p = _least_squares_start(x, y, weight)
    hessian = np.empty((rows, k + 1, k + 1))
    value = _log_likelihood(design, p, side, reached, weight, n_reached)
    active = np.arange(rows)
    for _ in range(steps):
        w, q = weight[active], p[active]
        u = q @ design.T  # [active, N]
        hazard, curvature = _hazard(side * u)
        slope = np.where(reached, -u, side * hazard)
        gradient = (w * slope) @ design
        gradient[:, -1] += n_reached[active] / q[:, -1]
        bend = (w * np.where(reached, 1.0, curvature)) @ outer(design)
        h = bend.reshape(-1, k + 1, k + 1)
        h[:, -1, -1] += n_reached[active] / q[:, -1] ** 2
        hessian[active] = h
        move = np.linalg.solve(h, gradient[..., None])[..., 0]
        gain = (gradient * move).sum(axis=1)
        going = (gain > 1e-10) & (q[:, -1] < SHARPEST)
        if not going.any():
            break
        active, w, q, move = active[going], w[going], q[going], move[going]
        length = np.ones(len(active))
        for _ in range(40):
            trial = q + length[:, None] * move
            new = _log_likelihood(design, trial, side, reached, w, n_reached[active])
            worse = new < value[active] - 1e-9 * abs(value[active])
            if not worse.any():
                break
            length[worse] /= 2
        p[active], value[active] = trial, new
    return p[:, :-1] / p[:, -1:], 1 / p[:, -1], _covariance(p, hessian)


def _least_squares_start(x: Array, y: Array, weight: Array) -> Array:
    k = x.shape[1]
    gram = (weight @ outer(x)).reshape(-1, k, k)
    b = np.linalg.solve(gram, (weight @ (x * y[:, None]))[..., None])[..., 0]
    residual = y - b @ x.T
    sigma = np.sqrt((weight * residual**2).sum(axis=1) / weight.sum(axis=1))
    inverse = 1 / np.maximum(sigma, 1 / SHARPEST)
    return np.column_stack([b * inverse[:, None], inverse])


def _log_likelihood(
    design: Array, p: Array, side: Array, reached: NDArray[np.bool_], weight: Array, n_reached: Array
) -> Array:
    u = p @ design.T
    terms = np.empty_like(u)
    terms[:, reached] = -0.5 * u[:, reached] ** 2
    terms[:, ~reached] = log_ndtr((side * u)[:, ~reached])
    positive = p[:, -1] > 0
    log_theta = np.log(np.where(positive, p[:, -1], 1.0))
    total: Array = np.where(positive, (weight * terms).sum(axis=1) + n_reached * log_theta, -np.inf)
    return total


def _hazard(z: Array) -> tuple[Array, Array]:
    """φ(z)/Φ(z) and minus its derivative, which lies in [0, 1]."""
    far = z < -1e3  # there the ratio is -z to six digits, and the difference of logarithms has lost its own
    near = np.where(far, 0.0, z)
    ratio = np.where(far, -z, np.exp(-0.5 * near**2 - log_ndtr(near)) / np.sqrt(2 * np.pi))
    return ratio, np.where(far, 1.0, np.clip(ratio * (ratio + z), 0.0, 1.0))


def outer(rows: Array) -> Array:
    """x x^T of every row, flattened: [N, k * k]."""
    return (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)


def _covariance(p: Array, hessian: Array) -> Array:
    """Covariance of b = γ/θ from the information on (γ, θ), by the delta method: [B, k, k]."""
    k = p.shape[1] - 1
    jacobian = np.zeros((len(p), k, k + 1))
    jacobian[:, range(k), range(k)] = 1 / p[:, -1:]
    jacobian[:, :, -1] = -p[:, :-1] / p[:, -1:] ** 2
    covariance: Array = jacobian @ np.linalg.inv(hessian) @ jacobian.transpose(0, 2, 1)
    return covariance
