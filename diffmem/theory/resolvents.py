"""One and two resolvents of U in the limit: what the learning curves integrate.

  S(z)      = lim (1/d) Tr Yᵀ Q(z) Y                    Q(z) = (U - z)⁻¹,  Y = W/√d
  F(z1, z2) = lim (1/d) Tr Yᵀ Q(z1) Ũ Q(z2) Y           Ũ = Y (α Σ + b²) Yᵀ + v² + s0²,  the population's U

With θ, y, M, N of `solver` at the two points, n(A) = <A N1 N2> and P = 1/(ψ_p - <M1 N1 M2 N2>), the equivalents with W
alone are (docs/two_resolvent_curves.md derives them), for X = Y s(Σ) Yᵀ + κ and c_X = θ1 θ2 n(s) + κ,

  T_X = n(s) + P n(1) c_X                               (1/d) Tr Yᵀ Q̄1 X Q̄2 Y
  K_X = [ α n(μ s) + P c_C c_X / (θ1 θ2) ] / ψ_n        (1/n) Tr C Q̄1 X Q̄2,   C = Y α Σ Yᵀ + v²

and the training points add F = T_Ũ + K_Ũ T_C / (D1 D2 - K_C). Every n(.) is one matrix product over the eigenvalues.
"""

from diffmem.theory.model import Model
from diffmem.theory.solver import Complex, Point


def one_resolvent(model: Model, point: Point) -> Complex:
    """S at P points: [P]."""
    return _equivalent(model, point) @ model.weight


def two_resolvents(model: Model, left: Point, right: Point) -> Complex:
    """F at every pair of L points and R points: [L, R]. Exchanging the two transposes it."""
    c, mu = model.constants, model.mu
    n_left, n_right = _equivalent(model, left), _equivalent(model, right)
    n0, n1, n2 = ((n_left * (model.weight * mu**k)) @ n_right.T for k in range(3))
    y1, y2 = left.y[:, None], right.y[None, :]
    theta2 = left.theta[:, None] * right.theta[None, :]  # θ1 θ2
    mn2 = c.alpha**2 * y1 * y2 * n2 + c.b**2 * c.alpha * (y1 + y2) * n1 + c.b**4 * n0  # <M1 N1 M2 N2>
    weight = 1 / (model.psi_p - mn2)  # P

    n_test, n_mu_test = c.alpha * n1 + c.b**2 * n0, c.alpha * n2 + c.b**2 * n1  # n(s), n(μ s) for Ũ: s = α μ + b²
    c_test = theta2 * n_test + c.v2 + c.s02
    c_data = theta2 * c.alpha * n1 + c.v2  # for C: s = α μ
    t_test = n_test + weight * n0 * c_test
    t_data = c.alpha * n1 + weight * n0 * c_data
    k_test = (c.alpha * n_mu_test + weight * c_data * c_test / theta2) / model.psi_n
    k_data = (c.alpha**2 * n2 + weight * c_data**2 / theta2) / model.psi_n
    f: Complex = t_test + k_test * t_data / (1 / (y1 * y2) - k_data)
    return f


def _equivalent(model: Model, point: Point) -> Complex:
    """N(μ) = 1/(M + θ), the equivalent of Yᵀ Q Y, at P points: [P, m]."""
    c = model.constants
    n = 1 / ((point.theta + c.b**2)[:, None] + (c.alpha * point.y)[:, None] * model.mu)
    return n
