"""How runs err together, and how sure anything linear in their log times is.

    y = X b + e,   Cov(e) = V = sum_j θ_j K_j

K_j[i, i'] = 1 where runs i and i' have one value of factor j (one n, one W, one seed); the last K is diagonal, of runs
alone. θ is found by restricted maximum likelihood (Patterson and Thompson 1971), by Fisher scoring. A θ_j may come out
negative (Nelder 1954): the means of groups then lie closer together than runs alone would put them. Only V is held
positive, so a balanced design gives the textbook's t interval exactly, whatever errs together.

An estimate λ·y has the variance v = λ^T V λ and Satterthwaite's degrees of freedom 2 v² / (g^T I^-1 g), with
g_j = λ^T K_j λ and I the information on θ: where runs of one n err together, about the number of n minus two.

A censored run lies where the runs that share its labels put it: its working value (`tobit.working`) is taken about
X b + u, u the best prediction of what it shares, with the scatter of single runs, until both agree (penalized
quasi-likelihood, Breslow and Clayton 1993). Taken about X b alone, censored runs of one n would each be a witness.

N runs, k coefficients, J components.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .tobit import Array, working

ALONE = "run"  # the name of the component of single runs
ROUNDS = 50
SETTLED = 1e-6  # change of log τ at which censored values are settled
SEEN = 1e-3  # weight of a value below which its change does not matter


@dataclass(frozen=True)
class Components:
    """Variances of log τ by factor [J], the last that of single runs; `kernels` [J, N, N], `information` [J, J]."""

    names: tuple[str, ...]
    variance: Array
    kernels: Array
    information: Array

    @property
    def covariance(self) -> Array:
        """V [N, N]."""
        return np.tensordot(self.variance, self.kernels, axes=1)

    @property
    def scatter(self) -> float:
        """The standard deviation of log τ of a run whose n, W and seed are new."""
        return float(np.sqrt(self.variance.sum()))

    @property
    def standard_deviations(self) -> dict[str, float]:
        """By factor; 0 where the variance came out negative."""
        spread = np.sqrt(np.maximum(self.variance, 0.0))
        return dict(zip(self.names, spread.tolist(), strict=True))

    def error(self, weights: Array) -> tuple[float, float]:
        """Standard error and degrees of freedom of `weights` [N] on log τ."""
        return self.spread_of(np.einsum("i,jik,k->j", weights, self.kernels, weights))

    def spread_of(self, share: Array) -> tuple[float, float]:
        """Standard error and degrees of freedom of an error with the variance `share` [J] · θ."""
        variance = float(share @ self.variance)
        doubt = float(share @ np.linalg.solve(self.information, share))
        return float(np.sqrt(max(variance, 0.0))), round(2 * variance**2 / doubt, 6)


def same(labels: ArrayLike) -> Array:
    """1 where two runs have one label: [N, N]."""
    values = np.asarray(labels)
    return (values[:, None] == values[None, :]).astype(np.float64)


def estimate(x: Array, y: Array, weight: Array, factors: Mapping[str, ArrayLike]) -> Components:
    """The components of y [N] about x b, x [N, k]; a run counts as `weight` [N] runs (1 where it was reached).

    `factors` are labels [N] by name. One that the design leaves no trace of (two values of n, each run its own label)
    is left out.
    """
    names, kernels = [ALONE], [np.diag(1 / weight)]
    for name, labels in factors.items():
        if _distinguishable(x, [*kernels, same(labels)]):
            names.insert(-1, name)
            kernels.insert(-1, same(labels))
    stack = np.stack(kernels)
    size = max(float(np.std(y - x @ np.linalg.lstsq(x, y, rcond=None)[0])), 1e-9)
    variance, information = _reml(x, y / size, stack)
    return Components(tuple(names), variance * size**2, stack, information / size**4)


def estimate_censored(
    x: Array, y: Array, censored: NDArray[np.int64], b: Array, sigma: float, factors: Mapping[str, ArrayLike]
) -> tuple[Array, Array, Components]:
    """Working values and weights [N] of runs some of which are `censored` [N], and their components.

    `b` [k] and `sigma` are those of the fit in which every run errs by itself (`tobit.fit_tobit`).
    """
    value, weight = working(x, y, censored, b, sigma)
    parts = estimate(x, value, weight, factors)
    if len(parts.names) == 1 or not censored.any():
        return value, weight, parts
    for _ in range(ROUNDS):
        variance: Array = np.maximum(parts.variance, 0.0)
        variance[-1] = max(variance[-1], SETTLED**2)
        inverse = np.linalg.inv(np.tensordot(variance, parts.kernels, axes=1))
        b = np.asarray(np.linalg.solve(x.T @ inverse @ x, x.T @ inverse @ value), dtype=np.float64)
        shared = np.tensordot(variance[:-1], parts.kernels[:-1], axes=1) @ inverse @ (value - x @ b)
        found, weight = working(x, y - shared, censored, b, float(np.sqrt(variance[-1])))
        change = np.abs(found + shared - value)[weight > SEEN]
        value = found + shared
        parts = estimate(x, value, weight, factors)
        if change.max(initial=0.0) < SETTLED:
            break
    return value, weight, parts


def least_squares(x: Array, weight: Array) -> Array:
    """The rows [k, N] that give the weighted least squares of x [N, k] from the values."""
    return np.asarray(np.linalg.solve((x * weight[:, None]).T @ x, (x * weight[:, None]).T), dtype=np.float64)


def coefficient_errors(x: Array, weight: Array, parts: Components) -> tuple[Array, Array]:
    """Covariance [k, k] and degrees of freedom [k] of the weighted least squares of x [N, k]."""
    rows = least_squares(x, weight)
    covariance: Array = rows @ parts.covariance @ rows.T
    return covariance, np.array([parts.error(row)[1] for row in rows])


def _reml(x: Array, y: Array, kernels: Array) -> tuple[Array, Array]:
    """θ [J] and the information on it [J, J]."""
    variance = np.append(np.zeros(len(kernels) - 1), 1.0)
    for _ in range(ROUNDS):
        projected = _projection(x, np.tensordot(variance, kernels, axes=1))
        products = projected @ kernels
        information = 0.5 * np.einsum("aij,bji->ab", products, products)
        left = projected @ y
        found = np.linalg.solve(information, 0.5 * np.einsum("i,jik,k->j", left, kernels, left))
        step = found - variance
        while not _positive(np.tensordot(variance + step, kernels, axes=1)):
            step = step / 2
        variance = variance + step
        if np.abs(step).max() < 1e-8 * np.abs(variance).max():
            break
    return variance, information


def _projection(x: Array, covariance: Array) -> Array:
    """P = V^-1 - V^-1 X (X^T V^-1 X)^-1 X^T V^-1."""
    inverse = np.linalg.inv(covariance)
    part = inverse @ x
    return np.asarray(inverse - part @ np.linalg.solve(x.T @ part, part.T), dtype=np.float64)


def _positive(covariance: Array) -> bool:
    values = np.linalg.eigvalsh(covariance)
    return bool(values[0] > 1e-7 * values[-1])


def _distinguishable(x: Array, kernels: list[Array]) -> bool:
    """Whether what is left after fitting x tells the components apart."""
    projected = _projection(x, np.eye(len(x)))
    seen = np.stack([(projected @ kernel @ projected).ravel() for kernel in kernels])
    size = np.linalg.norm(seen, axis=1)
    if (size < 1e-8 * len(x)).any():
        return False
    seen = seen / size[:, None]
    return bool(np.linalg.eigvalsh(seen @ seen.T)[0] > 1e-6)
