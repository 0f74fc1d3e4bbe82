"""Claims on times and their laws, one arm beside another, and a figure of the times against n.

A key is `ARM.TIME.NUMBER` or `ARM/CONTROL.TIME.ratio`: TIME is tau_gen, tau_bias or tau_mem, or one by another
definition and at one diffusion time of its losses, `tau_mem:loss_gap@100`; NUMBER is alpha or beta, the exponent of n
or W.

    ratio   exp of the mean of log τ - log τ_control over runs of the same n, W, seed and data.index that both reached
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from .. import pipeline
from ..tables.family import Family
from .reading import Found, Reading, Request, missing
from .times_of_arms import times_of_arms

CELL = ["n", "width", "seed", "index"]


def read(request: Request) -> Reading:
    """The reader `laws`."""
    arms = _Arms(request)
    found = {key: arms.found(key) for key in request.keys}
    times = [(arm, name, fitted.times) for (arm, name), fitted in arms.fitted.items()]
    return Reading(found, times_of_arms(times))


class _Arms:
    """The arms of a request, each fitted once for a definition of a time."""

    def __init__(self, request: Request) -> None:
        self.places = request.places
        self.fitted: dict[tuple[str, str], pipeline.Fitted] = {}

    def found(self, key: str) -> Found:
        arm, time, number = key.split(".")
        if number == "ratio":
            arm, control = arm.split("/")
            return self._ratio(arm, control, time)
        fitted = self._fit(arm, time)
        return of_law(fitted.laws[time.partition(":")[0]], number, setting_words(fitted.family))

    def _ratio(self, arm: str, control: str, time: str) -> Found:
        ours, theirs = self._fit(arm, time), self._fit(control, time)
        return ratio(ours.times, theirs.times, time.partition(":")[0], setting_words(ours.family))

    def _fit(self, arm: str, time: str) -> pipeline.Fitted:
        if (arm, time) not in self.fitted:
            name, _, read_by = time.partition(":")
            definition, _, t = read_by.partition("@")
            choices: dict[str, Any] = {name.removeprefix("tau_"): definition} if definition else {}
            choices |= {"loss_t": int(t)} if t else {}
            self.fitted[arm, time] = pipeline.fit(self.places[arm], pipeline.Choices(**choices))
        return self.fitted[arm, time]


def of_law(law: Mapping[str, Any], number: str, setting: str) -> Found:
    """The exponent `number` (alpha or beta) of a law of `laws.family`, or why there is none."""
    if "refused" in law:
        return missing(setting, f"no law: {law['refused']}.")
    names = (number, "low", "high") if number == "alpha" else (number, f"{number}_low", f"{number}_high")
    value, low, high = (np.nan if law[name] is None else law[name] for name in names)
    return Found(value, low, high, setting)


def ratio(times: pd.DataFrame, control: pd.DataFrame, name: str, setting: str) -> Found:
    """How many times as long `name` takes as in `control`, over the runs both have, with Student's interval."""
    both = times.merge(control, on=CELL, suffixes=("", "_control"))
    both = both[(both[f"{name}_status"] == "reached") & (both[f"{name}_status_control"] == "reached")]
    if len(both) < 2:
        pairs = "one pair" if len(both) else "no pair"
        return missing(setting, f"{pairs} of runs reached {name} in both arms, and an interval needs two.")
    log_ratio = np.log(both[name] / both[f"{name}_control"])
    mean, error = float(log_ratio.mean()), float(log_ratio.std(ddof=1)) / np.sqrt(len(both))
    half = float(student.ppf(0.975, len(both) - 1)) * error
    value, low, high = (float(np.exp(mean + one)) for one in (0, -half, half))
    return Found(value, low, high, f"{setting}, {len(both)} pairs")


def setting_words(family: Family) -> str:
    """`digits, W = 16, n = 32 to 256, 14 runs`."""
    runs = family.runs
    data = family.settings(runs["run"].iloc[0]).get("data.name") or runs["run"].iloc[0].partition("-")[0]
    widths, ns = (sorted(set(runs[name])) for name in ("width", "n"))
    span = f"{ns[0]} to {ns[-1]}" if len(ns) > 1 else f"{ns[0]}"
    return f"{data}, W = {', '.join(map(str, widths))}, n = {span}, {len(runs)} run{'s' if len(runs) > 1 else ''}"
