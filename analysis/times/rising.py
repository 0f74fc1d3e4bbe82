"""When a rising curve of shares comes to a level and stays there.

Read off the isotonic fit, between the last point before and the first after, linearly in log τ and in log odds: a share
that begins at its null bends upwards, and a line through its shares would cross too early. After the crossing no point
may lie surely below the level: a point counts for no more than the upper bound of every later one.

K points of a curve, B curves.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from diffmem.stats.monotone import crossing_times, isotonic

from .noise import Array, log_odds

Z = float(ndtri(0.975))
STEEP = 2.0  # rise in log odds between two checkpoints from which nothing is known of the curve between them


class Rise(NamedTuple):
    """When B curves rise through their level."""

    time: Array  # [B], steps; inf: not by the last point; -inf: already at the first
    after: NDArray[np.int64]  # [B], the first point after
    bracket: float  # share of the bracket that an interval of the first curve's time must hold


def rise_times(step: NDArray[np.int64], share: Array, total: Array, level: Array) -> Rise:
    """Times at which B curves `share` [B, K] of `total` [K] samples rise through `level` [B] and stay.

    What the grid can tell: where the curve hardly rises between two checkpoints, the line between them is as good as
    it; where its odds grow sevenfold or more, the time may lie anywhere in the bracket. So an interval holds at least
    the bracket, drawn in towards the value in proportion to the rise in log odds.
    """
    least = float(total.min())
    fit = log_odds(isotonic(without_excursions(share, total), total), least)
    crossing = crossing_times(step, fit, log_odds(level, least))
    after = int(crossing.after[0])
    rise = fit[0, after] - fit[0, after - 1] if 0 < after < len(step) else STEEP
    return Rise(crossing.time, crossing.after, min(float(rise) / STEEP, 1.0))


def without_excursions(share: Array, total: Array) -> Array:
    """Shares [B, K] of `total` [K] samples, none above the upper bound of a later one: a spike does not count."""
    upper = wilson_bound(share * total, total, above=True)
    later = np.minimum.accumulate(upper[..., ::-1], axis=-1)[..., ::-1]
    kept = share.copy()
    kept[..., :-1] = np.minimum(share[..., :-1], later[..., 1:])
    return kept


def wilson_bound(count: Array, total: Array | float, *, above: bool) -> Array:
    """The lower or upper end of Wilson's 95% interval, elementwise: `diffmem.stats.intervals.wilson` for arrays."""
    spread = Z * np.sqrt(np.maximum(count * (total - count), 0) / total + Z**2 / 4)
    bound: Array = (count + Z**2 / 2 + (spread if above else -spread)) / (total + Z**2)
    return bound
