"""One model of the random-features theory: what is chosen, and the numbers that this fixes.

d dimensions, p = ψ_p d random features, n = ψ_n d training points of covariance Σ, all large. `constants` has x_t and
the features, `covariance` the m eigenvalues μ of Σ. Every function of the theory takes a model first.
"""

import math
from dataclasses import dataclass, field

from diffmem.errors import InputError
from diffmem.theory.constants import Activation, Array, Constants, constants
from diffmem.theory.covariance import Cov, covariance


@dataclass(frozen=True, eq=False)
class Model:
    """ψ_p = p/d, ψ_n = n/d, the diffusion time t, the activation, and `cov` = (eigenvalues, weights), None for Σ = I.

    Raises InputError for ratios that are not finite and positive, and as `constants` and `covariance` do.
    """

    psi_p: float
    psi_n: float
    t: float
    activation: Activation = "tanh"
    cov: Cov | None = None
    constants: Constants = field(init=False, repr=False)
    mu: Array = field(init=False, repr=False)  # distinct eigenvalues of Σ, ascending: [m]
    weight: Array = field(init=False, repr=False)  # their shares, which sum to 1: [m]

    def __post_init__(self) -> None:
        for name in ("psi_p", "psi_n"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise InputError(f"{name}={value} is no ratio: give a finite number > 0, such as {name}=8.")
            object.__setattr__(self, name, float(value))
        sigma = covariance(self.cov)
        object.__setattr__(self, "mu", sigma.eigenvalues)
        object.__setattr__(self, "weight", sigma.weights)
        object.__setattr__(self, "constants", constants(self.t, activation=self.activation, sigma_x2=sigma.sigma_x2))

    def __str__(self) -> str:
        """Which model it is, for error messages."""
        return f"psi_p={self.psi_p:g}, psi_n={self.psi_n:g}, t={self.t:g}"

    @property
    def zeta_bound(self) -> float:
        """No eigenvalue of U - s0² lies above it in the limit."""
        c, edge = self.constants, (1 + math.sqrt(self.psi_p)) ** 2
        data = c.alpha * float(self.mu.max()) * edge + c.v2
        return data * (1 + math.sqrt(self.psi_p / self.psi_n)) ** 2 + c.b**2 * edge
