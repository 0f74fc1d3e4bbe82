"""A time read off a curve: its value, its interval from resampled copies, and what it is known to lie beyond.

K points of a curve, B resampled copies; arrays [1 + B] have the observed curve in front.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .curves import Array, Curve

Status = Literal["reached", "right", "left", "refused"]


@dataclass(frozen=True, kw_only=True)
class Timescale:
    """One time of one run, in optimizer steps.

    `value` is NaN unless `status` is "reached"; "right": not by `last_step`, which is the last of the run or, for
    `fmem_half` without a plateau, an earlier one; "left": before `last_step`; "refused":
    the definition does not apply, see `notes`. `points` are the steps of the two points it is read between.
    `low` and `high` are a 95% interval (NaN without resampling; high is inf where too many copies do not reach it).
    """

    definition: str
    status: Status
    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    last_step: float
    bound: float  # what a law takes for a censored time: it is known to lie beyond this step
    points: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    copies: Array  # [1 + B]: the value and its resampled copies; inf for right-, -inf for left-censored


def read_off(
    definition: str,
    copies: Array,
    after: int,
    step: NDArray[np.int64],
    notes: tuple[str, ...] = (),
    *,
    bracket: float = 1.0,
) -> Timescale:
    """The time of `copies` [1 + B] in steps; inf: not reached, -inf: true at the first point already.

    `step` are the steps at which the time could be seen; `after` the index of the first point after it. The interval
    holds at least the share `bracket` of the way from the value to each of the two points it is read between: whatever
    the samples say, nothing was seen between two checkpoints.
    """
    if copies[0] == np.inf:
        return _not_reached(definition, copies, step, notes)
    if copies[0] == -np.inf:
        return _true_before(definition, copies, step, notes)
    return _reached(definition, copies, after, step, notes, bracket)


def refused(definition: str, curve: Curve, size: int, note: str) -> Timescale:
    """No time, and why; `size` is 1 + B."""
    last = float(curve.step[-1])
    return Timescale(
        definition=definition,
        status="refused",
        last_step=last,
        bound=last,
        notes=(note,),
        copies=np.full(size, np.inf),
    )


def never(curve: Curve, n_boot: int) -> Timescale:
    """A time that is not reached, for a curve that does not measure it."""
    return _not_reached("not measured", np.full(1 + n_boot, np.inf), curve.step, ())


def _not_reached(definition: str, copies: Array, step: NDArray[np.int64], notes: tuple[str, ...]) -> Timescale:
    last = int(step[-1])
    return Timescale(
        definition=definition,
        status="right",
        last_step=float(last),
        bound=float(last),
        points=(last,),
        notes=notes,
        copies=copies,
    )


def _true_before(definition: str, copies: Array, step: NDArray[np.int64], notes: tuple[str, ...]) -> Timescale:
    # a bound of 0 would say nothing: what holds at step 0 and at the next point holds before that point
    first = float(step[step > 0][0]) if (step > 0).any() else 0.0
    if step[0] == 0:
        notes += ("true at step 0 already, before any training",)
    return Timescale(
        definition=definition,
        status="left",
        last_step=first,
        bound=first,
        points=(int(step[0]),),
        notes=notes,
        copies=copies,
    )


def _reached(
    definition: str, copies: Array, after: int, step: NDArray[np.int64], notes: tuple[str, ...], bracket: float
) -> Timescale:
    value, drawn, last = copies[0], copies[1:], float(step[-1])
    low = high = np.nan
    if len(drawn) and not (drawn == value).all():
        before, first = float(step[after - 1]), float(step[after])
        earlier = value ** (1 - bracket) * before**bracket if before > 0 else (1 - bracket) * value
        low = max(min(float(np.quantile(drawn, 0.025, method="lower")), earlier), 0.0)
        high = max(float(np.quantile(drawn, 0.975, method="higher")), value ** (1 - bracket) * first**bracket)
        unreached = int((drawn == np.inf).sum())
        if unreached:
            notes += (f"not reached in {unreached} of {len(drawn)} resampled copies",)
    return Timescale(
        definition=definition,
        status="reached",
        value=float(value),
        low=low,
        high=high,
        last_step=last,
        bound=last,
        points=(int(step[after - 1]), int(step[after])),
        notes=notes,
        copies=copies,
    )
