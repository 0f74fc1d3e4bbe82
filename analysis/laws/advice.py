"""When to stop one run: what it has reached, what the other runs of its family predict, and the step to stop by.

The advice is to train at least until quality is there (τ_gen) and to stop before memorization begins: by the lower
end of the 95% interval of τ_mem, so that about one run in forty would memorize first.
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from diffmem.errors import InputError

from ..tables.family import Family
from ..times.words import steps, time_words
from .prediction import Prediction, leave_one_n_out, predict, typical_factor
from .scaling import LawRefused

RISK = 0.025  # probability of memorization before the step to stop by


@dataclass(frozen=True, kw_only=True)
class Advice:
    """`verdict` is one of "stop by" (the lower end of `mem`), "stop now", "memorizes" and "unknown".

    `mem` and `gen` are predictions of times not reached (None where reached, or where `why` says no law is possible);
    `checkpoint` is the last measured step before memorization, where that has begun.
    """

    run: str
    step: int
    verdict: str
    checkpoint: int | None
    times: dict[str, object]
    mem: Prediction | None
    gen: Prediction | None
    why: tuple[str, ...]
    scores: pd.DataFrame

    @property
    def sentences(self) -> list[str]:
        """The advice for people, one line a fact."""
        lines = [f"{self.run} at step {steps(self.step)}"]
        for name, predicted in (("tau_gen", self.gen), ("tau_mem", self.mem)):
            line = f"  {name}: {time_words(self.times, name)}"
            if predicted is not None:
                line += f"; predicted {steps(predicted.value)} [{steps(predicted.low)}, {steps(predicted.high)}]"
                line += f" from {predicted.n_reached} other runs ({name} ~ n^{predicted.alpha:.2f})"
                if predicted.extrapolated:
                    line += ", beyond the n and W they cover"
                if predicted.surprise < 0.025:
                    line += f"; the law alone gave such a late time a probability of {predicted.surprise:.2g}"
            lines.append(line)
        lines += [f"  {reason}" for reason in self.why]
        if len(self.scores):
            covered = int(self.scores["covered"].sum())
            lines.append(
                f"  such predictions, one n left out at a time: {covered} of {len(self.scores)} times inside their "
                f"interval, off by a factor of {typical_factor(self.scores):.2f}"
            )
        return [*lines, self._verdict()]

    def _verdict(self) -> str:
        if self.verdict == "memorizes":
            if self.checkpoint is None:
                return "It memorized before its first measured step."
            return f"It memorizes: the last measured checkpoint before that is step {steps(self.checkpoint)}."
        if self.verdict == "stop by" and self.mem is not None:
            return f"Stop by step {steps(math.floor(self.mem.low))}."
        if self.verdict == "stop now":
            return "Stop now: memorization may begin at any step from here on."
        return "No advice on when to stop: see above."


def cut(family: Family, run: str, at: int | None) -> Family:
    """The family as it was when `run` stood at step `at` (None: as it is). Raises InputError for an unknown run."""
    rows = family.rows
    mine = rows["run"] == run
    if not mine.any():
        raise InputError(f"run {run} is not in the family, or has no row of metrics yet.")
    if at is None:
        return family
    kept = rows[~mine | (rows["step"] <= at)]
    if not (kept["run"] == run).any():
        raise InputError(f"--at={at} is before the first measured step {rows.loc[mine, 'step'].min()} of {run}.")
    return replace(family, rows=kept.reset_index(drop=True))


def advise(family: Family, times: pd.DataFrame, run: str) -> Advice:
    """Advice for `run`, from the `times` of the family (`family_times`), the run itself among them."""
    (own,) = times[times["run"] == run].to_dict("records")
    others = times[times["run"] != run]
    step = int(family.rows.loc[family.rows["run"] == run, "step"].max())
    why: list[str] = []
    ahead: dict[str, Prediction | None] = {"tau_mem": None, "tau_gen": None}
    for name in ahead:
        if own[f"{name}_status"] == "right":
            try:
                after = float(own[f"{name}_bound"])
                ahead[name] = predict(others, name, n=own["n"], width=own["width"], after=after)
            except LawRefused as refusal:
                why.append(f"{name} cannot be predicted: {refusal}")
    mem, memorized = ahead["tau_mem"], own["tau_mem_status"] in ("reached", "left")
    verdict = "unknown"
    if memorized:
        verdict = "memorizes"
    elif mem is not None:
        verdict = "stop by" if mem.surprise >= 1 - RISK else "stop now"
    return Advice(
        run=run,
        step=step,
        verdict=verdict,
        checkpoint=_last_before(family, own) if memorized else None,
        times={str(name): value for name, value in own.items()},
        mem=mem,
        gen=ahead["tau_gen"],
        why=tuple(why),
        scores=leave_one_n_out(others),
    )


def _last_before(family: Family, own: Mapping[Hashable, Any]) -> int | None:
    """The last measured step before the interval of tau_mem begins; None where there is none."""
    low = own["tau_mem_low"] if np.isfinite(own["tau_mem_low"]) else own["tau_mem"]
    seen = family.rows.loc[family.rows["run"] == own["run"], "step"]
    before = seen[seen < low]
    return int(before.max()) if own["tau_mem_status"] == "reached" and len(before) else None
