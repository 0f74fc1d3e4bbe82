"""The numbers through which an activation enters the theory, at one diffusion time t.

x_t = e^{-t} x_0 + sqrt(Δ_t) ξ, Δ_t = 1 - e^{-2t}; a feature is σ(h), h ~ N(0, Γ²), Γ² = e^{-2t} σ_x² + Δ_t.
σ is centred: its Gaussian mean E[σ(h)] is subtracted. With σ⊥(h) = σ(h) - a h, what σ has beyond its linear part,

  μ1 = E[σ(Γz) z],  ‖σ‖² = E[σ(Γz)²],  a = μ1/Γ,  b = sqrt(Δ_t) a
  v² = E_u[(E_w σ⊥)²],  s0² = E_u[Var_w σ⊥],  h = e^{-t} σ_x u + sqrt(Δ_t) w

so that e^{-2t} σ_x² a² + b² = μ1² and v² + s0² = ‖σ‖² - μ1². Written with σ⊥ nothing cancels, however small t is.

Integrals are Gauss-Legendre on panels that shrink towards h = 0, where an activation may have a kink; a finer rule on a
longer range gives the error.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from diffmem.errors import InputError

Array = NDArray[np.floating[Any]]
Activation = str | Callable[[Array], Array]

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "erf": erf,
    "sin": np.sin,
    "relu": lambda h: np.maximum(h, 0.0),
}
LARGEST_ERROR = 1e-3  # of the constants, relative to ‖σ‖²: above it they are refused


@dataclass(frozen=True, kw_only=True)
class Constants:
    """An activation at diffusion time t, in the symbols of the module's head."""

    t: float
    sigma_x2: float  # Tr Σ / d
    delta_t: float  # Δ_t
    gamma2: float  # Γ²
    mean: float  # E[σ(Γz)] of the activation as given; subtracted from it
    mu1: float
    norm2: float  # ‖σ‖²
    a: float
    b: float
    v2: float
    s02: float  # the study's s_t²
    error: float  # estimated quadrature error of mean, mu1, norm2, v2 and s02

    @property
    def alpha(self) -> float:
        """a² e^{-2t}: how much of the data's covariance a feature carries."""
        return self.a**2 * math.exp(-2 * self.t)


def constants(t: float, *, activation: Activation = "tanh", sigma_x2: float = 1.0) -> Constants:
    """The constants of `activation` (a name of ACTIVATIONS or a vectorized callable) at diffusion time t.

    `sigma_x2` is σ_x² = Tr Σ/d, the mean variance of the data. A callable may have a kink at 0; one elsewhere costs
    accuracy, and `error` says how much. Raises InputError for t <= 0, sigma_x2 <= 0, an unknown name, and an activation
    whose constants diverge, vanish (μ1 = 0: even; v² + s0² = 0: linear) or are not known to 1e-3 of ‖σ‖².
    Source: Bonnaire et al. 2025, section 4; Pennington and Worah 2017 for the decomposition of σ.
    """
    if not 0 < t < math.inf:
        raise InputError(f"t={t} is no diffusion time of the theory: give a finite t > 0, such as 0.01.")
    if not 0 < sigma_x2 < math.inf:
        raise InputError(f"sigma_x2={sigma_x2} is no variance: give a finite number > 0, such as 1.")
    if isinstance(activation, str) and activation not in ACTIVATIONS:
        raise InputError(f"activation={activation} is none of {', '.join(ACTIVATIONS)}: use one, or give a function.")
    return _constants(float(t), activation, float(sigma_x2))


@lru_cache(maxsize=256)
def _constants(t: float, activation: Activation, sigma_x2: float) -> Constants:
    sigma = ACTIVATIONS[activation] if isinstance(activation, str) else activation
    name = activation if isinstance(activation, str) else getattr(activation, "__name__", "the function")
    with np.errstate(all="ignore"):
        coarse, fine = (_moments(sigma, t, sigma_x2, order, reach) for order, reach in ((16, 10.0), (24, 12.0)))
    mean, mu1, norm2, v2, s02 = (float(value) for value in fine)
    error = float(np.max(np.abs(fine - coarse)))
    if not np.isfinite(fine).all() or not error <= LARGEST_ERROR * norm2:
        raise InputError(
            f"activation={name} has no constants at t={t:g}: its Gaussian integrals diverge or do not converge "
            f"(error {error:.1e} of {norm2:.1e}). Give one that grows slower and is smooth away from 0."
        )
    if mu1**2 <= 1e-9 * norm2 or v2 + s02 <= 1e-9 * norm2:
        what = "no linear part (it is even)" if mu1**2 <= 1e-9 * norm2 else "nothing but a linear part"
        raise InputError(f"activation={name} has {what}, so the theory's constants vanish: use another, such as tanh.")
    delta_t, gamma2 = _variances(t, sigma_x2)
    a = mu1 / math.sqrt(gamma2)
    return Constants(
        t=t,
        sigma_x2=sigma_x2,
        delta_t=delta_t,
        gamma2=gamma2,
        mean=mean,
        mu1=mu1,
        norm2=norm2,
        a=a,
        b=math.sqrt(delta_t) * a,
        v2=v2,
        s02=s02,
        error=error,
    )


def _variances(t: float, sigma_x2: float) -> tuple[float, float]:
    """Δ_t and Γ²."""
    delta_t = -math.expm1(-2 * t)
    return delta_t, math.exp(-2 * t) * sigma_x2 + delta_t


def _moments(sigma: Callable[[Array], Array], t: float, sigma_x2: float, order: int, reach: float) -> Array:
    """(mean, μ1, ‖σ‖², v², s0²) by panels of `order` nodes over ±`reach` standard deviations."""
    delta_t, gamma2 = _variances(t, sigma_x2)
    signal, noise, gamma = math.exp(-t) * math.sqrt(sigma_x2), math.sqrt(delta_t), math.sqrt(gamma2)
    z, weight = _normal_rule(np.zeros(1), 1 / gamma, order, reach)
    value = sigma(gamma * z)
    mean = np.sum(weight * value)
    mu1 = np.sum(weight * (value - mean) * z)
    norm2 = np.sum(weight * (value - mean) ** 2)

    u, outer = _normal_rule(np.zeros(1), min(1.0, noise) / signal, order, reach)
    w, inner = _normal_rule(-signal * u[0] / noise, 1 / noise, order, reach)  # h = 0 at w = -signal u / noise
    h = signal * u[0][:, None] + noise * w
    beyond = sigma(h) - mean - mu1 / gamma * h
    known = np.sum(inner * beyond, axis=1)  # E_w σ⊥ given u: [U]
    spread = np.sum(inner * (beyond - known[:, None]) ** 2, axis=1)
    return np.array([mean, mu1, norm2, np.sum(outer * known**2), np.sum(outer * spread)])


def _normal_rule(kink: Array, scale: float, order: int, reach: float) -> tuple[Array, Array]:
    """Nodes and weights [B, K] of E over a standard normal, split at each `kink` [B].

    Panels grow from `scale` (at most 1) at the kink by a factor 4, then go on in steps of 1, cut at ±`reach`.
    """
    scale = min(scale, 1.0)
    grown = scale * 4.0 ** np.arange(max(math.ceil(-math.log(scale, 4)), 0))
    offsets = np.concatenate([[0.0], grown, np.arange(1.0, 2 * reach + 1)])
    ends = np.clip(np.clip(kink, -reach, reach)[:, None] + np.concatenate([-offsets[:0:-1], offsets]), -reach, reach)
    node, weight = np.polynomial.legendre.leggauss(order)
    half = np.diff(ends)[:, :, None] / 2
    x = ends[:, :-1, None] + half * (1 + node)
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return x.reshape(len(kink), -1), (half * weight * density).reshape(len(kink), -1)
