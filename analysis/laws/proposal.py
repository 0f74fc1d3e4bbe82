"""Where to run next: the (n, W) whose phase would sharpen the boundary n* most.

At each width n* lies between the largest n known to memorize and the smallest known not to; the middle of the
candidates in between halves what is open.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from .boundary import is_known, log_tau, non_decreasing


class Proposal(NamedTuple):
    """The (n, width) to run next, best first, and why, in one line. Nothing is chosen where n* cannot be sharpened."""

    chosen: list[tuple[int, int]]
    why: str


def propose_next(times: pd.DataFrame, candidates: Sequence[tuple[int, int]], *, step: int, number: int = 1) -> Proposal:
    """Up to `number` of the `candidates`, (n, width) not yet run, whose phase at `step` would sharpen n* most.

    At each width n* lies between the largest n known to memorize and the smallest known not to. Of the candidates in
    between the middle one halves what is open; the width with most candidates in between comes first, then the wider
    gap. Points chosen together split a gap evenly. `times` is what `family_times` returns.
    """
    gaps = [gap for width in sorted({w for _, w in candidates}) if (gap := _gap(times, candidates, width, step)).open]
    chosen: list[tuple[int, int]] = []
    reasons = []
    while gaps and len(chosen) < number:
        gap = max(gaps, key=lambda one: (len(one.open), one.log_size))
        gaps.remove(gap)
        middle = (len(gap.open) - 1) // 2
        n = gap.open[middle]
        chosen.append((n, gap.width))
        reasons.append(f"n={n} at W={gap.width} (n* {gap.words})")
        parts = [gap._replace(high=n, open=gap.open[:middle]), gap._replace(low=n, open=gap.open[middle + 1 :])]
        gaps += [part for part in parts if part.open]
    if chosen:
        return Proposal(chosen, f"at step {step:,}, in the middle of what is open: {', '.join(reasons)}")
    known = [f"n* {_gap(times, [], width, step).words} at W={width}" for width in sorted(set(times["width"]))]
    return Proposal([], f"at step {step:,}, no candidate is left that would move a boundary: {', '.join(known)}")


class _Gap(NamedTuple):
    """Where n* lies at one width, and the candidates in there, ascending."""

    width: int
    low: float
    high: float
    open: list[int]

    @property
    def log_size(self) -> float:
        low, high = self.low or min(self.open), self.high if np.isfinite(self.high) else max(self.open)
        return float(np.log(high / low))

    @property
    def words(self) -> str:
        if self.low == 0 and np.isinf(self.high):
            return "unknown"
        if self.low == 0:
            return f"<= {self.high:g}"
        return f">= {self.low:g}" if np.isinf(self.high) else f"between {self.low:g} and {self.high:g}"


def _gap(times: pd.DataFrame, candidates: Sequence[tuple[int, int]], width: int, step: int) -> _Gap:
    runs = times[times["width"] == width]
    known = is_known(runs, step)
    low, high = 0.0, np.inf
    if known.any():
        fit = non_decreasing(runs["n"].to_numpy()[known], log_tau(runs)[None, known])
        memorizes = fit.g[0] <= np.log(step)
        low, high = max(fit.n[memorizes], default=0.0), min(fit.n[~memorizes], default=np.inf)
    inside = sorted({n for n, w in candidates if w == width and low < n < high})
    return _Gap(width, low, high, inside)
