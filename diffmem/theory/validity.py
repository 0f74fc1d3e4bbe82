"""Where the theory holds: no few directions may dominate the data.

The theory replaces σ's nonlinear part by Gaussian noise of one strength for all features and all points. That needs
many independent terms in a pre-activation h = W x_t/√d. What spoils it is the mean square correlation of the h of two
points,

  e^{-4t} Tr Σ²/(d Γ²)²,    d Γ² = Tr Σ_t = e^{-2t} Tr Σ + d Δ_t

which is also half the relative variance, between features, of the variance of h that the data give. `dominance` is what
it has beyond an isotropic Σ of the same trace: 0 for Σ = I, near 1 where one direction has all the variance and t is
small. The losses of features drawn at random (`simulate.draw(..., features="sampled")`) are off the limit by LEAST to
MOST times the dominance in nine cases of ten (`benchmarks/theory_validity.py`). Diffusion noise is isotropic, so a
larger t makes the theory good again.
"""

import math
import warnings
from typing import NamedTuple

from diffmem.errors import InputError
from diffmem.theory.model import Model

LARGEST = 0.01  # dominance of which nothing is said
LEAST, MOST = 0.2, 3.3  # relative error of the losses, over the dominance


class ValidityWarning(UserWarning):
    """The theory's numbers are far from those of the model that it stands for."""


class Validity(NamedTuple):
    """How far few of `d` directions dominate, the relative error of the losses to expect, and what was warned of."""

    d: int
    dominance: float
    error_low: float
    error_high: float
    warning: str | None


def dominance(model: Model, d: int) -> float:
    """The dominance of few directions where `model` has the covariance of data of `d` dimensions: 0 (Σ = I) to 1.

    Raises InputError for d < 1.
    """
    if d < 1:
        raise InputError(f"d={d} is no number of dimensions: give 1 or more.")
    spread = float(model.weight @ (model.mu - model.constants.sigma_x2) ** 2)  # <μ²> - <μ>²
    return math.exp(-4 * model.t) * spread / (d * model.constants.gamma2**2)


def check(model: Model, d: int) -> Validity:
    """The validity of `model` for data of `d` dimensions. Warns (ValidityWarning) where dominance is above LARGEST."""
    measured = dominance(model, d)
    low, high = LEAST * measured, min(MOST * measured, 1.0)
    if measured <= LARGEST:
        return Validity(d, measured, low, high, None)
    warning = (
        f"few of the {d} directions dominate the data (dominance {measured:.2g}, where the theory needs {LARGEST:g} or "
        f"less): its losses are off by about {100 * low:.2g} to {100 * high:.2g}%."
    )
    warnings.warn(warning, ValidityWarning, stacklevel=2)
    return Validity(d, measured, low, high, warning)
