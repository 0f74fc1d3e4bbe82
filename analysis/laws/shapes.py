"""Laws of three shapes, each with few coefficients, and their least squares for many data at once.

    power law    log τ = log C + α log n + β log W
    quadratic    log τ = log C + α log n + β log W + κ (log n)²
    offset       log τ = log(τ_0 + C n^α W^β),   τ_0 >= 0

Coefficients are those of the power law and then κ or log τ_0. B data sets, N values, k coefficients of the power law;
x [N, k] is 1, log n and, where W varies, log W, about their means.
"""

import numpy as np

from .tobit import Array, outer

SHAPES = ("power law", "quadratic", "offset")
COEFFICIENTS = {"power law": 2, "quadratic": 3, "offset": 3}  # that need distinct n
STARTS = (0.2, 0.7, 0.95)  # τ_0 over the least τ
LEAST = 1e-3  # of the least τ: an offset below it is none
ROUNDS = 40
HIGHEST = 700.0  # below the log of the largest number


def value(shape: str, p: Array, x: Array) -> Array:
    """log τ [..., N] for coefficients p [..., k or k + 1]."""
    if shape == "power law":
        return np.asarray(p @ x.T)
    if shape == "quadratic":
        return np.asarray(p[..., :-1] @ x.T + p[..., -1:] * x[:, 1] ** 2)
    return np.logaddexp(p[..., -1:], p[..., :-1] @ x.T)


def gradient(shape: str, p: Array, x: Array) -> Array:
    """The derivatives of `value` by the coefficients: [..., N, k or k + 1]."""
    if shape == "power law":
        return np.broadcast_to(x, (*p.shape[:-1], *x.shape))
    if shape == "quadratic":
        return np.broadcast_to(np.column_stack([x, x[:, 1] ** 2]), (*p.shape[:-1], len(x), x.shape[1] + 1))
    growth = growing(p, x)[..., None]
    return np.concatenate([growth * x, 1 - growth], axis=-1)


def growing(p: Array, x: Array) -> Array:
    """The share of C n^α W^β in the τ of an offset law: [..., N]."""
    return np.exp(np.minimum(p[..., :-1] @ x.T - value("offset", p, x), 0.0))


def exponent(shape: str, p: Array, x: Array) -> tuple[Array, Array]:
    """d log τ / d log n at x [N, k]: [N], and its derivatives by the coefficients p [k or k + 1]: [N, k or k + 1]."""
    if shape == "quadratic":
        row = np.zeros((len(x), len(p)))
        row[:, 1], row[:, -1] = 1, 2 * x[:, 1]
        return row @ p, row
    if shape == "power law":
        row = np.tile(np.eye(len(p))[1], (len(x), 1))
        return row @ p, row
    growth = growing(p, x)
    row = np.column_stack([x, -np.ones(len(x))]) * (p[1] * growth * (1 - growth))[:, None]
    row[:, 1] += growth
    return p[1] * growth, row


def fit(shape: str, x: Array, y: Array, weight: Array) -> tuple[Array, Array]:
    """Weighted least squares for y [B, N] and weight [B, N]: coefficients [B, k or k + 1] and sums of squares [B]."""
    if shape == "offset":
        return _fit_offset(x, y, weight)
    rows = gradient(shape, np.zeros(COEFFICIENTS[shape] + x.shape[1] - 2), x)
    p = _solve(rows, y, weight)
    return p, (weight * (y - value(shape, p, x)) ** 2).sum(axis=1)


def _solve(rows: Array, y: Array, weight: Array) -> Array:
    gram = np.tensordot(weight, outer(rows), axes=1)
    gram[:, range(rows.shape[1]), range(rows.shape[1])] *= 1 + 1e-12
    return np.asarray(np.linalg.solve(gram, ((weight * y) @ rows)[..., None])[..., 0], dtype=np.float64)


def _fit_offset(x: Array, y: Array, weight: Array) -> tuple[Array, Array]:
    """By Levenberg and Marquardt's method from several starts, all at once."""
    least = np.where(weight > 0, y, np.inf).min(axis=1)
    count = len(y)
    y, weight, least = (np.concatenate([part] * len(STARTS)) for part in (y, weight, least))
    offset = least + np.repeat(np.log(STARTS), count)
    rest = np.maximum(np.exp(np.minimum(y - offset[:, None], HIGHEST)) - 1, 0.02)
    p = np.column_stack([_solve(x, np.log(rest) + offset[:, None], weight), offset])
    loss = (weight * (y - value("offset", p, x)) ** 2).sum(axis=1)
    damping = np.full(len(p), 1e-2)
    active = np.arange(len(p))
    for _ in range(ROUNDS):
        some, floor, w = p[active], least[active] + np.log(LEAST), weight[active]
        slope = gradient("offset", some, x)
        slope[some[:, -1] < floor + np.log(2), :, -1] *= 1e-6  # none: it stays so
        turned = (slope * w[..., None]).swapaxes(1, 2)
        gram = turned @ slope
        diagonal = np.einsum("bkk->bk", gram)
        diagonal += damping[active, None] * diagonal + 1e-12 * diagonal.sum(axis=1, keepdims=True)
        step = np.linalg.solve(gram, turned @ (y[active] - value("offset", some, x))[..., None])[..., 0]
        step[:, -1] = np.clip(step[:, -1], -1, 1)  # a longer one may end where τ_0 is too small to matter
        trial = some + step
        trial[:, -1] = np.maximum(trial[:, -1], floor)
        new = (w * (y[active] - value("offset", trial, x)) ** 2).sum(axis=1)
        gain = loss[active] - new
        better = active[gain > 0]
        p[better], loss[better] = trial[gain > 0], new[gain > 0]
        damping[active] *= np.where(gain > 0, 0.2, 5.0)
        active = active[np.where(gain > 0, gain > 1e-6 * new, damping[active] < 1e3)]
        if not len(active):
            break
    best = loss.reshape(len(STARTS), count).argmin(axis=0) * count + np.arange(count)
    return p[best], loss[best]
