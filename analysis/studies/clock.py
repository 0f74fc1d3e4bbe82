"""Claims on times in steps and in loss-weighted time, an arm beside its control, and a figure of both.

A key is `ARM/CONTROL.TIME.ratio`, as of the reader `laws`, or `ARM/CONTROL.TIME.weighted`: the same ratio of times that
are first multiplied by the pace of their training, what a step adds to loss-weighted time (`diffusion/clock.py`).
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..figures import drawing
from ..figures.drawing import SYMBOLS, styled
from ..figures.files import Picture
from . import laws
from .reading import Found, Reading, Request, missing

COLOURS = {"tau_gen": drawing.GENERALIZE, "tau_bias": drawing.LEAN, "tau_mem": drawing.MEMORIZE}


def read(request: Request) -> Reading:
    """The reader `clock`."""
    in_steps = {key: f"{key.rpartition('.')[0]}.ratio" for key in request.keys}
    steps = laws.read(replace(request, keys=list(dict.fromkeys(in_steps.values()))))
    table = steps.picture.data
    runs = [request.places[arm] / run for arm, run in zip(table["arm"], table["run"], strict=True)]
    paces = {run: request.images.pace(run) for run in dict.fromkeys(runs)}
    table = table.assign(pace=pd.Series([paces[run] for run in runs], dtype=float))
    found = dict(steps.found)
    for key, ratio in in_steps.items():
        if key != ratio:
            found[key] = _weighted(key, table, steps.found[ratio])
    return Reading({key: found[key] for key in request.keys}, Picture(_draw(table), table))


def _weighted(key: str, table: pd.DataFrame, steps: Found) -> Found:
    """The ratio of `key` in loss-weighted time; `steps` is that in steps."""
    arms, time, _ = key.split(".")
    both: list[pd.DataFrame] = []
    for arm in arms.split("/"):
        rows = table[(table["arm"] == arm) & (table["time"] == time)]
        if rows["pace"].isna().any():
            return missing(steps.setting, f"the pace of {arm} is not known: its training images, or its optimizer.")
        both.append(rows.assign(tau=rows["tau"] * rows["pace"]))
    arm_rows, control = both
    return laws.ratio(arm_rows, control, "tau", steps.setting)._replace(setting=steps.setting)


@styled
def _draw(table: pd.DataFrame) -> Figure:
    arms = list(dict.fromkeys(table["arm"]))[::-1]
    figure = Figure(figsize=(11, 0.55 * len(arms) + 1.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, pace, words in (
        (left, 1.0, drawing.STEP),
        (right, table["pace"], "loss-weighted time"),
    ):
        ends = ["tau", "tau_low", "tau_high", "tau_last_step"]
        _draw_times(axes, table.assign(**{end: table[end] * pace for end in ends}), arms)
        axes.set(xscale="log", xlabel=words)
        drawing.log_ticks(axes.xaxis, *axes.get_xlim())
    left.set_yticks(range(len(arms)), arms)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _draw_times(axes: Axes, table: pd.DataFrame, arms: list[str]) -> None:
    """A row for each arm, a mark with its interval for each run; open marks are bounds, lines the last arm's means."""
    for time, rows in table.groupby("time", sort=False):
        name = str(time).partition(":")[0]
        reached = rows[rows["tau_status"] == "reached"]
        places = reached["arm"].map(arms.index) + 0.12 * (reached["seed"] - 1)
        spread = [(reached["tau"] - reached["tau_low"]).clip(lower=0), (reached["tau_high"] - reached["tau"])]
        spread = [one.replace(np.inf, np.nan).fillna(0) for one in spread]
        axes.errorbar(
            reached["tau"],
            places,
            xerr=spread,
            fmt="o",
            markersize=5,
            linewidth=1,
            color=COLOURS[name],
            label=SYMBOLS[name],
        )
        bounds = rows[rows["tau_status"] == "right"]
        axes.plot(
            bounds["tau_last_step"], bounds["arm"].map(arms.index), ">", color=COLOURS[name], markerfacecolor="white"
        )
        control = np.log(reached["tau"][reached["arm"] == arms[-1]]).mean()
        axes.axvline(np.exp(control), color=COLOURS[name], linewidth=1, linestyle=":")
