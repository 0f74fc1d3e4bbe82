"""Curves of f_mem whose crossing is planted, with every kind of noise that real ones have.

The share is logistic in log step and passes 0.05 at τ, which lies anywhere between two checkpoints. `width` is that of
the logistic in log τ. Noise of a point: binomial; `shared`: every sample has a threshold of its own, so that what is
memorized at one step stays so, as with common initial noise; `chi_squared`: the log odds jitter from checkpoint to
checkpoint, so much that the chi-squared per degree of freedom about the logistic is that.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from diffmem.analysis.tables.family import Family
from diffmem.analysis.times.curves import Curve, resample
from diffmem.analysis.times.family import tau_mem

LEVEL = 0.05
FIRST, LAST = 50, 50_000


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A kind of curve."""

    width: float = 1 / 3
    per_decade: int = 8
    samples: int = 400
    shared: bool = False
    stored: bool = False  # whether the ratios of single samples are known
    chi_squared: float = 1.0
    spike: bool = False  # 60 samples at one checkpoint, long before the rise
    rises: bool = True  # otherwise the run ends with four zeros after the spike
    kink: float = 0.0  # where not 0: null up to this share of τ, then a straight line in log step
    ends: float = 0.0  # where not 0: the run ends at this multiple of τ


FAMILIES = {
    "iid": Planted(),
    "shared noise, counts": Planted(shared=True),
    "shared noise, stored": Planted(shared=True, stored=True),
    "jitter 3.8": Planted(chi_squared=3.8),
    "jitter 7.8": Planted(chi_squared=7.8),
    "jitter 3.8, shared, stored": Planted(chi_squared=3.8, shared=True, stored=True),
    "jitter 7.8, shared, stored": Planted(chi_squared=7.8, shared=True, stored=True),
    "steep": Planted(width=0.1),
    "steep, shared, stored": Planted(width=0.1, shared=True, stored=True),
    "few points": Planted(per_decade=3),
    "shallow": Planted(width=1.0),
    "shallow, 10,000 samples": Planted(width=1.0, samples=10_000),
    "10,000 samples, jitter 150": Planted(samples=10_000, chi_squared=150),
    "kink": Planted(kink=0.75),
    "steep kink": Planted(kink=0.95),
    "ends soon": Planted(shared=True, stored=True, ends=2.5),
    "ends soon, jitter 7.8": Planted(shared=True, stored=True, ends=2.5, chi_squared=7.8),
    "steep, jitter 7.8": Planted(shared=True, stored=True, width=0.1, chi_squared=7.8),
    "spike, then the rise": Planted(spike=True, samples=200),
    "spike, then zeros": Planted(spike=True, samples=200, rises=False),
}


class Stored:
    """What `resample` asks of a family, for one planted curve."""

    def __init__(self, ratios: dict[int, NDArray[np.float64]]) -> None:
        self._ratios = ratios

    def settings(self, run: str) -> dict[str, Any]:
        return {}

    def ratios(self, run: str, step: int) -> NDArray[np.float64] | None:
        return self._ratios.get(step)


def draw(kind: Planted, rng: np.random.Generator) -> tuple[Curve, Stored, float]:
    """One curve, its stored ratios, and its τ."""
    decades = np.log10(LAST / FIRST)
    points = np.arange(round(kind.per_decade * decades) + 1) / kind.per_decade
    step = np.array([0, *sorted({round(FIRST * 10**j) for j in points})])
    tau = float(np.exp(rng.uniform(np.log(1000), np.log(10_000))))
    if kind.ends:
        step = step[: np.searchsorted(step, kind.ends * tau)]
    log_odds = _log_odds(kind, step, tau)
    share = expit(log_odds + _jitter(kind, log_odds) * rng.standard_normal(len(step)))
    threshold = rng.uniform(size=(kind.samples, 1 if kind.shared else len(step)))
    memorized = np.broadcast_to(threshold < share, (kind.samples, len(step)))
    if kind.spike:
        at = int(np.searchsorted(step, tau) - 7)
        early = np.arange(kind.samples) < 60
        memorized = np.where(np.arange(len(step)) == at, early[:, None], memorized)
        if not kind.rises:
            step, memorized = step[: at + 5], memorized[:, : at + 5]
    ratios = {int(s): np.where(memorized[:, k], 0.1, 0.9) for k, s in enumerate(step)} if kind.stored else {}
    total = np.full(len(step), float(kind.samples))
    return (
        Curve(run="run", step=step, count=memorized.sum(axis=0) * 1.0, total=total, null=(0.0, 500.0)),
        Stored(ratios),
        tau,
    )


def _log_odds(kind: Planted, step: NDArray[np.int64], tau: float) -> NDArray[np.float64]:
    past = np.log(np.maximum(step, 1e-9) / tau)
    if kind.kink:
        line = LEVEL * (1 - past / np.log(kind.kink))
        return np.asarray(logit(np.clip(line, 1e-9, 0.8)))
    return np.asarray(logit(LEVEL) + past / kind.width)


def _jitter(kind: Planted, log_odds: NDArray[np.float64]) -> float:
    """Its standard deviation in log odds, from the chi-squared over the points from 0.02 to 0.98."""
    wide = logit(0.98)
    seen = log_odds[np.abs(log_odds) < wide]
    information = kind.samples * np.mean(expit(seen) * expit(-seen))
    return float(np.sqrt((kind.chi_squared - 1) / information))


def read(
    kind: Planted, curves: int, bootstraps: int, rng: np.random.Generator, definition: str = "fmem_crosses"
) -> pd.DataFrame:
    """The times of `curves` planted curves as they are read: tau, value, low, high, status, before, after."""
    records = []
    for seed in range(curves):
        curve, stored, tau = draw(kind, rng)
        (drawn,) = resample(cast(Family, stored), [curve], bootstraps, seed)
        time = tau_mem(curve, definition, drawn)
        before, after = time.points if len(time.points) == 2 else (np.nan, np.nan)
        records.append((tau, time.value, time.low, time.high, time.status, before, after))
    return pd.DataFrame(records, columns=["tau", "value", "low", "high", "status", "before", "after"])
