"""Independent ways to the numbers of diffmem.theory: other equations, other methods, plain loops."""

import math

import mpmath  # type: ignore[import-untyped]
import numpy as np
from scipy.optimize import root

from diffmem.theory.model import Model


def six_equations(model: Model, lam: float) -> np.ndarray:
    """(q, r, s) at lam + i0 from six real equations, by scipy's root, continued from a large imaginary part."""
    c, psi_p, psi_n, mu, weight = model.constants, model.psi_p, model.psi_n, model.mu, model.weight

    def residual(x: np.ndarray, z: complex) -> np.ndarray:
        q, r, s = x[:3] + 1j * x[3:]
        d = 1 + c.alpha * psi_p / psi_n * r + psi_p / psi_n * c.v2 * q
        share = 1 / (c.b**2 * psi_p + 1 / q + mu * psi_p * c.alpha / d)
        last = psi_p * (c.s02 - z) + psi_p * c.v2 / d + (1 - psi_p) / q - s / q**2
        f = np.array([last * q / (psi_p * z), weight @ share / s - 1, weight @ (mu * share) / r - 1])
        return np.concatenate([f.real, f.imag])

    x = np.zeros(6)
    heights = [*np.geomspace(1e3, 1e-7, 160) * (1 + lam), 0.0]
    z = complex(lam, heights[0])
    x[:3], x[3:] = (-1 / z).real, (-1 / z).imag
    for height in heights:
        x = root(residual, x, args=(complex(lam, height),), method="hybr", tol=1e-14).x
    return np.asarray(x[:3] + 1j * x[3:])


def fixed_point(model: Model, z: complex) -> tuple[complex, complex]:
    """(D, S) by plain damped iteration of (D, e), 25 digits: a Wishart resolvent with a fixed shift inside another."""
    c, psi_p, psi_n = model.constants, model.psi_p, model.psi_n
    with mpmath.workdps(25):
        mp = mpmath.mpf
        alpha, b2, v2, s02 = mp(c.alpha), mp(c.b) ** 2, mp(c.v2), mp(c.s02)
        pairs = [(mp(w), mp(m)) for w, m in zip(model.weight, model.mu, strict=True)]
        d, e, total = mpmath.mpc(1), mpmath.mpc(0), mpmath.mpc(0)
        for _ in range(5000):
            g = v2 / d + s02 - mpmath.mpc(z)
            sums = [mpmath.mpc(0)] * 4  # <R>, <M N>, <mu N>, <N>
            for w, m in pairs:
                level = alpha * m / d + b2
                r = 1 / (psi_p / (1 + e) + g / level)
                n = 1 / level - g * r / level**2
                sums = [total + w * term for total, term in zip(sums, (r, level * n, m * n, n), strict=True)]
            new_e, total = sums[0], sums[3]
            new_d = 1 + (alpha * sums[2] + v2 * (psi_p - sums[1]) / g) / psi_n
            step = abs(new_d - d) / abs(d) + abs(new_e - e) / abs(e + 1)
            d, e = (d + new_d) / 2, (e + new_e) / 2
            if step < mp(10) ** -18:
                break
        return complex(d), complex(total)


def isotropic_two_resolvents(model: Model, z1: complex, z2: complex, d1: complex, d2: complex) -> complex:
    """F for Σ = I as integrals over the Marchenko-Pastur law of H = WᵀW/d, given D at the two points."""
    c, psi_p, psi_n = model.constants, model.psi_p, model.psi_n
    nodes = 4000
    phi = (np.arange(nodes) + 0.5) * np.pi / nodes
    h = psi_p + 1 + 2 * math.sqrt(psi_p) * np.cos(phi)
    law = 2 * psi_p * np.sin(phi) ** 2 / h / nodes
    if psi_p < 1:
        h, law = np.append(h, 0.0), np.append(law, 1 - psi_p)
    data, test = c.alpha * h + c.v2, (c.alpha + c.b**2) * h + c.v2 + c.s02
    g1, g2 = (c.v2 / d + c.s02 - z for d, z in ((d1, z1), (d2, z2)))
    q1, q2 = (1 / ((c.alpha / d + c.b**2) * h + g) for d, g in ((d1, g1), (d2, g2)))

    def k(m: np.ndarray, at_zero: float) -> complex:
        return complex(law @ (data * m * q1 * q2) + (psi_p - 1) * c.v2 * at_zero / (g1 * g2)) / psi_n

    direct, through = law @ (h * test * q1 * q2), law @ (h * data * q1 * q2)
    return complex(direct + k(test, c.v2 + c.s02) / (d1 * d2 - k(data, c.v2)) * through)


def gradient_descent(
    z: np.ndarray, xi: np.ndarray, z_test: np.ndarray, xi_test: np.ndarray, delta_t: float, dt: float, steps: int
) -> np.ndarray:
    """(train, test) losses [2, steps + 1] of plain gradient descent on A from 0, lr = d² dt, features z [p, N]."""
    (d, count), p = xi.shape, len(z)
    root_delta, a = math.sqrt(delta_t), np.zeros((d, p))

    def loss(z: np.ndarray, xi: np.ndarray) -> tuple[float, np.ndarray]:
        error = root_delta / math.sqrt(p) * a @ z + xi
        return float((error**2).sum() / (d * z.shape[1])), error

    losses = []
    for _ in range(steps + 1):
        train, error = loss(z, xi)
        losses.append((train, loss(z_test, xi_test)[0]))
        a -= d**2 * dt * 2 / (d * count) * root_delta / math.sqrt(p) * error @ z.T
    return np.array(losses).T
