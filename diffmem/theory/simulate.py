"""The model at finite size: one draw of features and data, with the matrices its gradient flow needs.

W [p, d] and X are normal draws, Σ diagonal: column i of X has variance μ_i. `gaussian` takes U from its Gaussian
equivalent, U = G Gᵀ/n + b² W Wᵀ/d + s0² I, G = e^{-t} a W Xᵀ/√d + v Ω. `sampled` takes it from the features themselves,
with the average over the noise ξ exact: given the data the pre-activations are Gaussian, so by Hermite expansion

  E_ξ[z_i z_j] = Σ_k ρ_ij^k c_k(i) c_k(j),   c_k(i) = E_w[σ(h_i + β_i w) He_k(w)]/sqrt(k!)

with h_i = e^{-t} (W x)_i/√d, β_i = sqrt(Δ_t) |W_i|/√d, ρ_ij the cosine of W_i, W_j; and E_ξ[z_i ξ] = c_1(i) W_i/|W_i|.
Off the diagonal ρ = O(d^-1/2), so the sum ends at k = ORDER; the diagonal is E_w[σ²]. The population is the case h = 0
with W Σ_t^½ in the place of sqrt(Δ_t) W: there ρ is of order 1 where few directions dominate Σ, and the sum goes on.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import roots_hermitenorm

from diffmem.errors import InputError
from diffmem.theory.constants import ACTIVATIONS, Activation, Array, Constants, constants
from diffmem.theory.model import Model

ORDER = 5  # last Hermite term off the diagonal: the rest is O(d^-3)
POPULATION_ORDER = 25  # the same for the population
NODES = 48  # of the Gauss-Hermite rule over the noise
TILE = 2**23  # features at all nodes at once: bounds memory
FEATURES = ("gaussian", "sampled")


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw:
    """The matrices of one draw: u, u_test [p, p] and v, v_test [p, d], of the training points and of the population."""

    u: Array
    v: Array
    u_test: Array
    v_test: Array
    psi_p: float  # p/d of this draw
    psi_n: float
    delta_t: float
    best: float  # test loss of the true score


def draw(model: Model, d: int, *, features: str = "gaussian", seed: int = 0) -> Draw:
    """One draw with p = round(psi_p d) features and n = round(psi_n d) points in d dimensions.

    The d eigenvalues of Σ are taken from the model's at the middles of d equal shares. `features` is gaussian or
    sampled. Raises InputError for sizes below 1, other features, and where the d eigenvalues are all 0.
    """
    if features not in FEATURES:
        raise InputError(f"features={features} is neither of {', '.join(FEATURES)}.")
    p, n = round(model.psi_p * d), round(model.psi_n * d)
    if d < 1 or p < 1 or n < 1:
        raise InputError(f"d={d} gives p={p} features and n={n} points: each must be at least 1, so take a larger d.")
    mu = model.mu[np.searchsorted(np.cumsum(model.weight) - 1e-12, (np.arange(d) + 0.5) / d)]
    c = constants(model.t, activation=model.activation, sigma_x2=float(mu.mean()))  # of these d eigenvalues
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((p, d)) / math.sqrt(d)
    x = rng.standard_normal((n, d)) * np.sqrt(mu)
    sigma_t = math.exp(-2 * model.t) * mu + c.delta_t
    make = _gaussian if features == "gaussian" else partial(_sampled, model.activation)
    u, v, u_test, v_test = make(c, w, x, sigma_t, rng)
    best = 1 - c.delta_t * float(np.mean(1 / sigma_t))
    return Draw(u=u, v=v, u_test=u_test, v_test=v_test, psi_p=p / d, psi_n=n / d, delta_t=c.delta_t, best=best)


def _gaussian(
    c: Constants, w: Array, x: Array, sigma_t: Array, rng: np.random.Generator
) -> tuple[Array, Array, Array, Array]:
    (p, _), n = w.shape, len(x)
    g = math.sqrt(c.alpha) * w @ x.T + math.sqrt(c.v2) * rng.standard_normal((p, n))
    u = g @ g.T / n + c.b**2 * w @ w.T
    u_test = c.a**2 * (w * sigma_t) @ w.T
    u[np.diag_indices(p)] += c.s02
    u_test[np.diag_indices(p)] += c.v2 + c.s02
    return u, c.b * w, u_test, c.b * w


def _sampled(
    activation: Activation, c: Constants, w: Array, x: Array, sigma_t: Array, rng: np.random.Generator
) -> tuple[Array, Array, Array, Array]:
    length = np.linalg.norm(w, axis=1)
    u, first = averaged(activation, c, math.exp(-c.t) * w @ x.T, math.sqrt(c.delta_t) * w, ORDER)
    spread = w * np.sqrt(sigma_t)
    u_test, first_test = averaged(activation, c, np.zeros((len(w), 1)), spread, POPULATION_ORDER)
    scale = np.linalg.norm(spread, axis=1)
    v, v_test = first[:, None] * w / length[:, None], first_test[:, None] * math.sqrt(c.delta_t) * w / scale[:, None]
    return u, v, u_test, v_test


def averaged(activation: Activation, c: Constants, h: Array, spread: Array, order: int = ORDER) -> tuple[Array, Array]:
    """(1/n) Σ_ν E[z zᵀ] [p, p] and (1/n) Σ_ν c_1 [p], z = σ(h[:, ν] + spread ξ); h [p, n], spread [p, d]."""
    sigma = ACTIVATIONS[activation] if isinstance(activation, str) else activation
    (p, n), beta = h.shape, np.linalg.norm(spread, axis=1)
    cosine = spread @ spread.T / np.outer(beta, beta)
    node, weight = roots_hermitenorm(NODES)
    weight = weight / math.sqrt(2 * math.pi)
    hermite = [np.polynomial.hermite_e.hermeval(node, np.eye(order + 1)[k]) for k in range(order + 1)]
    rule = np.stack([weight * values / math.sqrt(math.factorial(k)) for k, values in enumerate(hermite)])
    noise = beta * node[:, None]  # [NODES, p]
    u, square, first = np.zeros((p, p)), np.zeros(p), np.zeros(p)
    tile = max(TILE // (NODES * p), 1)
    for start in range(0, n, tile):
        z = sigma(h[:, start : start + tile] + noise[:, :, None]) - c.mean  # [NODES, p, tile]
        square += np.einsum("j,jpn,jpn->p", weight, z, z)
        c_k = np.tensordot(rule, z, 1)
        first += c_k[1].sum(axis=1)
        power = np.ones_like(cosine)
        for one in c_k:
            u += power * (one @ one.T)
            power *= cosine
    u[np.diag_indices(p)] = square
    return u / n, first / n
