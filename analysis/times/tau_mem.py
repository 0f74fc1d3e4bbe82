"""Definitions of τ_mem, the training time at which memorization begins.

    fmem_crosses   f_mem rises through null + θ (1 - null), θ = 0.05, and stays                         (the default)
    fmem_onset     the Wilson lower bound of f_mem first passes the Wilson upper bound of the null
    fmem_half      f_mem rises through half of its plateau and stays; the plateau is the mean of the last two points,
                   which must agree within their intervals
    loss_gap       L_gen = L_test - L_train first comes to 0.1 (L_test(0) - best L_test)
    overfit_onset  the step with the least L_test, from which on it rises: overfitting, not yet copies

The null is f_mem of held-out images. Losses are at one diffusion time and have no resampled copies: they come from
common random numbers, and their times bear no interval.

K points of a curve, B resampled copies; arrays [1 + B, ...] have the observed curve in front.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from diffmem.definitions import risen
from diffmem.errors import InputError
from diffmem.stats.monotone import crossing_times, isotonic

from .curves import Array, Curve, Draws, Z
from .timescale import Timescale, read_off, refused

NULL_LIMIT = 0.5
GAP = 0.1
DIP = 4.0  # standard errors


def fmem_crosses(curve: Curve, draws: Draws) -> Timescale:
    count, total, null = _measured(curve, draws)
    why = _null_too_high(curve, draws)
    if why:
        return refused("fmem_crosses", curve, len(null), why)
    level = risen(null)
    share = count / total  # [1 + B, K]
    crossing = crossing_times(curve.step, isotonic(share, total), level)
    after = np.arange(len(curve.step)) >= crossing.after[:, None]
    excess = share - level[:, None]
    # Wilson's lower bound is above the level where the score test rejects it
    sure = excess > Z * np.sqrt(np.outer(level * (1 - level), 1 / total))
    held = ((after & (excess > 0)).sum(axis=1) >= 2) | (after & sure).any(axis=1)
    times = np.where(held, crossing.time, np.inf)
    notes = _dips(curve)
    if np.isfinite(crossing.time[0]) and not held[0]:
        notes += (f"above the level at step {curve.step[-1]} only, and not surely: not counted as reached",)
    time = read_off("fmem_crosses", times, int(crossing.after[0]), curve.step, notes)
    return replace(time, bound=_latest_reached(curve, share[0], float(level[0]))) if time.status == "right" else time


def fmem_onset(curve: Curve, draws: Draws) -> Timescale:
    count, total, null = _measured(curve, draws)
    if not isinstance(curve.null, tuple):
        return refused("fmem_onset", curve, len(null), "the null has no count: its upper bound is not known")
    size = curve.null[1]
    upper = wilson_bound(null * size, size, above=True)
    lower = wilson_bound(count, total, above=False)
    least = np.nextafter(upper, 1)  # of the heights at which `definitions.onset` holds
    crossing = crossing_times(curve.step, lower, least, stays=True)
    return read_off("fmem_onset", crossing.time, int(crossing.after[0]), curve.step, _dips(curve))


def fmem_half(curve: Curve, draws: Draws) -> Timescale:
    count, total, null = _measured(curve, draws)
    why = _null_too_high(curve, draws)
    if why:
        return refused("fmem_half", curve, len(null), why)
    share = count / total  # [1 + B, K]
    low, high = (wilson_bound(count[0, -2:], total[-2:], above=above) for above in (False, True))
    level = share[:, -2:].mean(axis=1) / 2
    flat = len(curve.step) > 1 and low.max() <= high.min()
    crossing = crossing_times(curve.step, isotonic(share, total), level)
    if flat and level[0] > risen(null[0]):
        return read_off("fmem_half", crossing.time, int(crossing.after[0]), curve.step, _dips(curve))
    still = "f_mem still changes between the last two points" if not flat else "f_mem has not left its null"
    return read_off("fmem_half", np.full(len(null), np.inf), 0, curve.step, (f"no plateau: {still}",))


def loss_gap(curve: Curve, draws: Draws) -> Timescale:
    train, test = losses(curve)
    if curve.step[0] != 0:
        return refused("loss_gap", curve, 1 + draws.n_boot, "no loss at step 0, from which the gap is measured")
    crossing = crossing_times(curve.step, test - train, GAP * (test[0] - test.min()), stays=True)
    notes = (f"losses at t = {curve.loss_t}",)
    copies = np.full(1 + draws.n_boot, crossing.time[0])
    return read_off("loss_gap", copies, int(crossing.after[0]), curve.step, notes)


def overfit_onset(curve: Curve, draws: Draws) -> Timescale:
    _, test = losses(curve)
    least = int(test.argmin())
    at = np.inf if least == len(test) - 1 else -np.inf if least == 0 else float(curve.step[least])
    notes = (f"losses at t = {curve.loss_t}",)
    time = read_off("overfit_onset", np.full(1 + draws.n_boot, at), least, curve.step, notes)
    return replace(time, points=(int(curve.step[least]),))


MEM_DEFINITIONS: dict[str, Callable[[Curve, Draws], Timescale]] = {
    "fmem_crosses": fmem_crosses,
    "fmem_onset": fmem_onset,
    "fmem_half": fmem_half,
    "loss_gap": loss_gap,
    "overfit_onset": overfit_onset,
}


def wilson_bound(count: Array, total: Array | float, *, above: bool) -> Array:
    """The lower or upper end of Wilson's 95% interval, elementwise: `diffmem.stats.intervals.wilson` for arrays."""
    spread = Z * np.sqrt(count * (total - count) / total + Z**2 / 4)
    bound: Array = (count + Z**2 / 2 + (spread if above else -spread)) / (total + Z**2)
    return bound


def losses(curve: Curve) -> tuple[Array, Array]:
    """Train and test loss [K] of a curve. Raises InputError where it has none."""
    if curve.loss_train is None or curve.loss_test is None:
        raise InputError(f"run {curve.run} has no losses: this definition needs loss_train_t<t> and loss_test_t<t>.")
    return curve.loss_train, curve.loss_test


def _latest_reached(curve: Curve, share: Array, level: float) -> float:
    """The latest time that could have counted as reached, given the points before the last one.

    It is where the line to the last point crosses the level, were that point just surely above it. A law that took
    the last step for the bound would be told that runs which crossed shortly before it had not, and bend upwards.
    """
    if len(share) < 2 or curve.total is None:
        return float(curve.step[-1])
    before = min(float(share[-2]), level)
    sure = level + Z * float(np.sqrt(level * (1 - level) / curve.total[-1]))
    part = (level - before) / (sure - before)
    first, last = float(curve.step[-2]), float(curve.step[-1])
    return part * last if first == 0 else first * (last / first) ** part


def _measured(curve: Curve, draws: Draws) -> tuple[Array, Array, Array]:
    """Counts [1 + B, K], totals [K] and null [1 + B]. Raises InputError where f_mem or its null is missing."""
    if draws.count is None or curve.total is None or draws.null is None:
        raise InputError(
            f"run {curve.run} has no f_mem or no null: this definition of tau_mem needs f_mem_count, f_mem_total, "
            "f_mem_null."
        )
    return draws.count, curve.total, draws.null


def _null_too_high(curve: Curve, draws: Draws) -> str:
    null = float(_measured(curve, draws)[2][0])
    if null <= NULL_LIMIT:
        return ""
    return f"the null, f_mem of held-out images, is {null:.2f}, above {NULL_LIMIT}: f_mem says nothing here"


def _dips(curve: Curve) -> tuple[str, ...]:
    """A note where f_mem falls by more than `DIP` standard errors from one point to a later one."""
    assert curve.count is not None
    assert curve.total is not None
    share = curve.count / curve.total
    fall = share[:, None] - share[None, :]  # [K, K]: from the row's point to the column's
    pooled = (curve.count[:, None] + curve.count) / (curve.total[:, None] + curve.total)
    error = np.sqrt(pooled * (1 - pooled) * (1 / curve.total[:, None] + 1 / curve.total))
    z = np.triu(np.divide(fall, error, out=np.zeros_like(fall), where=error > 0), 1)
    i, j = np.unravel_index(int(z.argmax()), z.shape)
    if z[i, j] <= DIP:
        return ()
    return (
        f"f_mem falls from {share[i]:.3f} at step {curve.step[i]} to {share[j]:.3f} at step {curve.step[j]}, "
        f"{z[i, j]:.1f} standard errors",
    )
