"""When a model of the theory generalizes and when it memorizes: τ_gen and τ_mem, from the spectrum and from the losses.

A mode of eigenvalue λ relaxes in ψ_p/(2 Δ_t λ). From the edges, where the bulk shares no band with anything else, and
τ_gen for ψ_n >= 1 only (below, bulk 2 is that of the points themselves, and the test loss rises as it relaxes):
  τ_gen = ψ_p/(Δ_t λ_min(bulk 2)),   τ_mem = ψ_p/(Δ_t λ_min(bulk 1))              (Bonnaire et al. 2025, section 4)
From the losses, read off as those of an experiment are (`stats.monotone.crossing_time`):
  τ_gen: first L_test <= best + 0.1 (L_test(0) - best);   τ_mem: first L_gen >= 0.1 (L_test(0) - best)
where best is the least L_test of the curve and L_test(0) = 1.
"""

from typing import NamedTuple

import numpy as np

from diffmem.errors import InputError, NotReached
from diffmem.stats.monotone import crossing_time
from diffmem.theory.constants import Array
from diffmem.theory.dynamics import Curves
from diffmem.theory.model import Model
from diffmem.theory.spectrum import Bands, bands

SHARE = 0.1  # of L_test(0) - best


class Times(NamedTuple):
    """Training times τ; None where bands have merged (edges), or where the curve ends before (losses)."""

    gen: float | None
    mem: float | None


def edge_times(model: Model) -> Times:
    """τ_gen and τ_mem from the edges of the bands. Errors as in `spectrum.bands`."""
    spectrum = bands(model)
    gen = _slowest(model, spectrum, "bulk2") if model.psi_n >= 1 else None
    return Times(gen=gen, mem=_slowest(model, spectrum, "bulk1"))


def _slowest(model: Model, spectrum: Bands, part: str) -> float | None:
    """The training time of the least eigenvalue of `part`, where it has bands to itself."""
    alone = spectrum.alone(part)
    return float(model.psi_p / (model.constants.delta_t * alone[0].low)) if alone else None


def loss_times(curves: Curves) -> Times:
    """τ_gen and τ_mem from learning curves. Raises InputError where the curves begin too late to tell."""
    best = float(curves.test.min())
    drop = SHARE * (1 - best)
    gen = _first(curves.tau, curves.test, best + drop, rising=False)
    return Times(gen, _first(curves.tau, curves.gen, drop, rising=True))


def time_grid(model: Model, count: int) -> Array:
    """`count` training times, log-spaced from before the fastest mode moves until after the slowest has relaxed."""
    c = model.constants
    unit = model.psi_p / (2 * c.delta_t)
    return np.geomspace(0.01 * unit / (model.zeta_bound + c.s02), 10 * unit / c.s02, count)


def _first(tau: Array, loss: Array, level: float, *, rising: bool) -> float | None:
    try:
        return crossing_time(tau, loss, level, rising=rising, stays=True)
    except NotReached as why:
        if why.last_step == tau[0]:
            raise InputError(
                f"the curves begin at tau = {tau[0]:g}, when the loss is past its level {level:g} "
                "already: begin earlier."
            ) from why
        return None
