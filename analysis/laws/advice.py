"""When to stop one run: what it has reached, what the other runs of its family predict, and the step to stop by.

The advice is to train at least until quality is there (τ_gen) and to stop before samples lean towards the training
images: by the lower end of the 95% interval of τ_bias, so that about one run in forty would lean first, whatever runs
share. Where p_train was not measured it is on τ_mem, when samples are copies, and says so.
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from diffmem.errors import InputError

from ..tables.family import Family
from ..times.words import interval, lower_end, steps, time_words, window_end
from .prediction import Prediction, leave_one_n_out, predict, typical_factor
from .scaling import LawRefused

RISK = 0.025  # probability of bias (of memorization) before the step to stop by
PAST = {"tau_bias": "leans", "tau_mem": "memorizes"}
REASON = {
    "tau_bias": "stop before tau_bias, when samples lean towards the training images",
    "tau_mem": "stop before tau_mem, when samples are copies: p_train was not measured, so when they begin to lean "
    "towards the training images is not known",
}
SAID = {"leans": "It leans towards its training images", "memorizes": "It memorizes"}
BEGINS = {"tau_bias": "samples may lean towards the training images", "tau_mem": "memorization may begin"}


@dataclass(frozen=True, kw_only=True)
class Advice:
    """`verdict` is one of "stop by" (the lower end of the prediction of `end`), "stop now", "leans", "memorizes" and
    "unknown".

    `end` is the time to stop before, tau_bias or tau_mem. `predictions` are those of times not reached, by name
    (without those that `why` says no law gives); `checkpoint` is the last measured step before `end`, where that is
    past; `scores` is how good such predictions of `end` are on the other runs (`leave_one_n_out`).
    """

    run: str
    step: int
    verdict: str
    checkpoint: int | None
    times: dict[str, object]
    end: str
    predictions: Mapping[str, Prediction]
    why: tuple[str, ...]
    scores: pd.DataFrame

    @property
    def sentences(self) -> list[str]:
        """The advice for people, one line a fact."""
        lines = [f"{self.run} at step {steps(self.step)}"]
        for name in _said(self.end):
            line = f"  {name}: {time_words(self.times, name)}"
            if name in self.predictions:
                line += f"; {_predicted(self.predictions[name])}"
            lines.append(line)
        lines += [f"  {reason}" for reason in self.why]
        if len(self.scores):
            covered = self.scores.groupby("n")["covered"].all()
            lines.append(
                f"  such predictions, one n left out at a time: all runs of {covered.sum()} of {len(covered)} values "
                f"of n inside their interval, off by a factor of {typical_factor(self.scores):.2f}"
            )
        return [*lines, f"  {REASON[self.end]}", self._verdict()]

    def _verdict(self) -> str:
        if self.verdict in SAID:
            if self.checkpoint is None:
                return f"{SAID[self.verdict]}, before its first measured step already."
            return (
                f"{SAID[self.verdict]}: the last measured checkpoint before the interval of that time begins is step "
                f"{steps(self.checkpoint)}."
            )
        if self.verdict == "stop by":
            predicted = self.predictions[self.end]
            return f"Stop by step {lower_end(predicted.value, predicted.low, predicted.high)}."
        if self.verdict == "stop now":
            return f"Stop now: {BEGINS[self.end]} at any step from here on."
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


def advise(family: Family, times: pd.DataFrame, run: str, group: str = "auto") -> Advice:
    """Advice for `run`, from the `times` of the family (`family_times`), the run itself among them.

    `group` says which runs err together (`GROUPS`).
    """
    (own,) = times[times["run"] == run].to_dict("records")
    others = times[times["run"] != run]
    step = int(family.rows.loc[family.rows["run"] == run, "step"].max())
    end = window_end(own) if own.get("tau_bias_status") != "refused" else "tau_mem"
    why: list[str] = []
    ahead: dict[str, Prediction] = {}
    for name in _said(end):
        if own[f"{name}_status"] == "right" and math.isnan(own[f"{name}_bound"]):
            why.append(f"{name} never comes: this run's images are too few for the level of quality")
        elif own[f"{name}_status"] == "right":
            at: dict[str, Any] = {key: own.get(key) for key in ("n", "width", "seed")}
            try:
                ahead[name] = predict(others, name, **at, after=float(own[f"{name}_bound"]), group=group)
            except LawRefused as refusal:
                why.append(f"{name} cannot be predicted: {refusal}")
    predicted, past = ahead.get(end), own[f"{end}_status"] in ("reached", "left")
    verdict = "unknown"
    if past:
        verdict = PAST[end]
    elif predicted is not None:
        verdict = "stop by" if predicted.surprise >= 1 - RISK else "stop now"
    return Advice(
        run=run,
        step=step,
        verdict=verdict,
        checkpoint=_last_before(family, own, end) if past else None,
        times={str(name): value for name, value in own.items()},
        end=end,
        predictions=ahead,
        why=tuple(why),
        scores=leave_one_n_out(others, end, group=group),
    )


def _said(end: str) -> tuple[str, ...]:
    """The times that advice speaks of: without p_train there is no tau_bias."""
    return ("tau_gen", "tau_bias", "tau_mem") if end == "tau_bias" else ("tau_gen", "tau_mem")


def _predicted(made: Prediction) -> str:
    words = f"predicted {interval(made.value, made.low, made.high)} from {made.n_reached} other runs"
    words += f" ({made.name} ~ n^{made.exponent:.2f} there, {_shape(made)})"
    if made.extrapolated:
        words += ", beyond the n and W they cover"
    if made.surprise < RISK:
        words += f"; the law alone gave such a late time a probability of {made.surprise:.2g}"
    return words


def _shape(made: Prediction) -> str:
    task = "beyond the largest n" if made.extrapolated else "between the values of n"
    return "a power law" if made.shape == "power law" else f"by the {made.shape} law, the best {task} in runs left out"


def _last_before(family: Family, own: Mapping[Hashable, Any], end: str) -> int | None:
    """The last measured step before the interval of `end` begins; None where there is none."""
    low = own[f"{end}_low"] if np.isfinite(own[f"{end}_low"]) else own[end]
    seen = family.rows.loc[family.rows["run"] == own["run"], "step"]
    before = seen[seen < low]
    return int(before.max()) if own[f"{end}_status"] == "reached" and len(before) else None
