"""Definitions of τ_mem, the training time at which memorization begins.

    fmem_crosses   f_mem rises through null + θ (1 - null), θ = 0.05, and stays                         (the default)
    fmem_onset     the Wilson lower bound of f_mem first passes the Wilson upper bound of the null, and stays
    fmem_half      f_mem rises through half of its plateau and stays; the plateau is the mean of the last two points,
                   which must agree within their intervals, else the time is after f_mem passes half of its last value
    loss_gap       L_gen = L_test - L_train first comes to 0.1 (L_test(0) - best L_test)
    overfit_onset  the step with the least L_test, from which on it rises: overfitting, not yet copies
    score_turns    R2 turns negative on its antitonic fit: the score is nearer to the training set's than to the
                   population's (mixture only)

"Stays": no later point is surely below, so that a spike that is undone does not count. Crossings are those of `rising`.
The null is f_mem of held-out images. Losses and scores are at one diffusion time and have no resampled copies: they
come from common random numbers, and their times bear no interval.

K points of a curve, B resampled copies; arrays [1 + B, ...] have the observed curve in front.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from diffmem.definitions import THETA, risen
from diffmem.errors import InputError
from diffmem.stats.monotone import crossing_times, isotonic

from .curves import Curve, Draws
from .noise import Array, on_the_rise
from .rising import Z, rise_times, wilson_bound
from .timescale import Timescale, read_off, refused

NULL_LIMIT = 0.5
GAP = 0.1
DIP = 4.0  # standard errors
FEW_POINTS = (
    "fewer than three points on the rise: how far it jumps between checkpoints is not known, and its interval holds "
    "samples and the checkpoint grid alone; more checkpoints would tell (grid.per_decade)"
)


def fmem_crosses(curve: Curve, draws: Draws) -> Timescale:
    why = _null_too_high(curve, draws)
    if why:
        return refused("fmem_crosses", curve, 1 + draws.n_boot, why)
    return share_crosses("fmem_crosses", curve, draws, THETA)


def share_crosses(definition: str, curve: Curve, draws: Draws, theta: float) -> Timescale:
    """When a share rises through null + `theta` (1 - null), and stays."""
    count, total, null = _measured(curve, draws)
    level = risen(null, theta)
    share = count / total  # [1 + B, K]
    rise = rise_times(curve.step, share, total, level)
    after = np.arange(len(curve.step)) >= rise.after[:, None]
    excess = share - level[:, None]
    # Wilson's lower bound is above the level where the score test rejects it
    sure = excess > Z * np.sqrt(np.outer(level * (1 - level), 1 / total))
    held = ((after & (excess > 0)).sum(axis=1) >= 2) | (after & sure).any(axis=1)
    times = np.where(held, rise.time, np.inf)
    notes = _dips(curve)
    if np.isfinite(rise.time[0]) and not held[0]:
        notes += (f"above the level at step {curve.step[-1]} only, and not surely: not counted as reached",)
    if draws.n_boot and np.isfinite(times[0]) and on_the_rise(curve.step, share[0], total).sum() < 3:
        notes += (FEW_POINTS,)
    time = read_off(definition, times, int(rise.after[0]), curve.step, notes, bracket=rise.bracket)
    return replace(time, bound=_even_chance(curve, share[0], float(level[0]))) if time.status == "right" else time


def fmem_onset(curve: Curve, draws: Draws) -> Timescale:
    return share_onset("fmem_onset", curve, draws)


def share_onset(definition: str, curve: Curve, draws: Draws) -> Timescale:
    """When the lower bound of a share passes the upper bound of its null, and no later point is surely below it."""
    count, total, null = _measured(curve, draws)
    if not isinstance(curve.null, tuple):
        return refused(definition, curve, len(null), "the null has no count: its upper bound is not known")
    size = curve.null[1]
    least = np.nextafter(wilson_bound(null * size, size, above=True), 1)  # of the heights at which `onset` holds
    lower, upper = (wilson_bound(count, total, above=above) for above in (False, True))
    fallen = upper < np.maximum.accumulate(lower, axis=1)
    crossing = crossing_times(curve.step, lower, least, stays=~fallen)
    return read_off(definition, crossing.time, int(crossing.after[0]), curve.step, _dips(curve))


def fmem_half(curve: Curve, draws: Draws) -> Timescale:
    count, total, null = _measured(curve, draws)
    why = _null_too_high(curve, draws)
    if why:
        return refused("fmem_half", curve, len(null), why)
    share = count / total  # [1 + B, K]
    low, high = (wilson_bound(count[0, -2:], total[-2:], above=above) for above in (False, True))
    level = share[:, -2:].mean(axis=1) / 2
    flat = len(curve.step) > 1 and low.max() <= high.min()
    if flat and level[0] > risen(null[0]):
        rise = rise_times(curve.step, share, total, level)
        return read_off("fmem_half", rise.time, int(rise.after[0]), curve.step, _dips(curve), bracket=rise.bracket)
    still = "f_mem still changes between the last two points" if not flat else "f_mem has not left its null"
    time = read_off("fmem_half", np.full(len(null), np.inf), 0, curve.step, (f"no plateau: {still}",))
    if share[0, -1] <= risen(null[0]):
        return time
    passed = _half_of_the_last(curve, share[0])
    return replace(time, last_step=passed, bound=passed)


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


def score_turns(curve: Curve, draws: Draws) -> Timescale:
    _, lean = scores(curve)
    crossing = crossing_times(curve.step, -isotonic(-lean), 0.0, rising=False)
    copies = np.full(1 + draws.n_boot, crossing.time[0])
    return read_off("score_turns", copies, int(crossing.after[0]), curve.step, (f"scores at t = {curve.score_t}",))


MEM_DEFINITIONS: dict[str, Callable[[Curve, Draws], Timescale]] = {
    "fmem_crosses": fmem_crosses,
    "fmem_onset": fmem_onset,
    "fmem_half": fmem_half,
    "loss_gap": loss_gap,
    "overfit_onset": overfit_onset,
    "score_turns": score_turns,
}


def losses(curve: Curve) -> tuple[Array, Array]:
    """Train and test loss [K] of a curve. Raises InputError where it has none."""
    if curve.loss_train is None or curve.loss_test is None:
        raise InputError(f"run {curve.run} has no losses: this definition needs loss_train_t<t> and loss_test_t<t>.")
    return curve.loss_train, curve.loss_test


def scores(curve: Curve) -> tuple[Array, Array]:
    """R and R2 [K] of a curve. Raises InputError where it has none."""
    if curve.score_apart is None or curve.score_lean is None:
        raise InputError(
            f"run {curve.run} has no R and R2: this definition needs the population's score, which data=mixture has."
        )
    return curve.score_apart, curve.score_lean


def _even_chance(curve: Curve, share: Array, level: float) -> float:
    """The time at which a run with these checkpoints is about as likely to be read as reached as not.

    It is where the chord of shares to the last point crosses the level, were that point just surely above it: within
    3% of the even chance for curves whose log odds grow by 3 to 6 with log τ. A law that took the last step for the
    bound would be told that runs which crossed shortly before it had not, and bend upwards.
    """
    if len(share) < 2 or curve.total is None:
        return float(curve.step[-1])
    sure = level + Z * float(np.sqrt(level * (1 - level) / curve.total[-1]))
    before = min(float(share[-2]), level)
    part = (level - before) / (sure - before)
    first, last = float(curve.step[-2]), float(curve.step[-1])
    return part * last if first == 0 else first * (last / first) ** part


def _half_of_the_last(curve: Curve, share: Array) -> float:
    """A step before which half of the plateau is surely not passed: where half of the last lower bound is.

    f_mem still rises, so its plateau is no lower than its last value, and half of the plateau comes no earlier than
    half of that. By the last step it may be long past.
    """
    assert curve.total is not None
    lowest = wilson_bound(share[-1:] * curve.total[-1], curve.total[-1], above=False)
    time = float(rise_times(curve.step, share[None], curve.total, lowest / 2).time[0])
    return time if np.isfinite(time) else 0.0


def _measured(curve: Curve, draws: Draws) -> tuple[Array, Array, Array]:
    """Counts [1 + B, K], totals [K] and null [1 + B]. Raises InputError where f_mem or its null is missing."""
    if draws.count is None or curve.total is None or draws.null is None:
        raise InputError(
            f"run {curve.run} has no f_mem or no null: this definition of tau_mem needs f_mem_count, "
            "f_mem_total, f_mem_null."
        )
    return draws.count, curve.total, draws.null


def _null_too_high(curve: Curve, draws: Draws) -> str:
    null = float(_measured(curve, draws)[2][0])
    if null <= NULL_LIMIT:
        return ""
    return f"the null of f_mem is {null:.2f}, above {NULL_LIMIT}: f_mem says nothing here"


def _dips(curve: Curve) -> tuple[str, ...]:
    """A note where the share falls by more than `DIP` standard errors from one point to a later one."""
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
        f"{curve.share} falls from {share[i]:.3f} at step {curve.step[i]} to {share[j]:.3f} at step {curve.step[j]}, "
        f"{z[i, j]:.1f} standard errors",
    )
