"""R and R2 along training, at fixed diffusion times t: whether the score is the population's or the training set's.

    R = E|s - s_pop| / E|s_pop - s_emp|,    R2 = (E|s - s_emp| - E|s - s_pop|) / E|s_pop - s_emp|

(Bonnaire et al. 2025), known where the population is: on the Gaussian mixture.
"""

import re
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from . import drawing
from .curves import KEYS, checked
from .drawing import GENERALIZE, MARKS, MEMORIZE, MUTED, STEP, styled
from .files import Picture
from .material import Material

MEASURES = {"R": "score_reaches", "R2": "score_turns"}  # measure -> its time
LEVELS = {"R": 0.5, "R2": 0.0}
LABELS = {
    "R": "$R$: distance to the\npopulation's score",
    "R2": "$R_2$: 1 at the population's,\n$-1$ at the training set's",
}
LIKE = {"score_reaches": "tau_gen", "score_turns": "tau_mem"}  # whose mark a time has


def draw(material: Material) -> Picture | None:
    """The figure `scores`, where R and R2 were measured."""
    table = score_curves(material.rows)
    return Picture(scores(material.rows, material.times), table) if len(table) else None


def score_curves(rows: pd.DataFrame) -> pd.DataFrame:
    """R and R2, one row for each run, step and diffusion time t."""
    table, parts = checked(rows), []
    for name in map(str, table):
        match = re.fullmatch(r"R2_t(\d+)", name)
        if match and f"R_t{match[1]}" in table:
            apart, lean = (pd.to_numeric(table[column]) for column in (f"R_t{match[1]}", name))
            parts.append(table[[*KEYS, "step"]].assign(t=int(match[1]), R=apart, R2=lean).dropna(subset=["R", "R2"]))
    columns = [*KEYS, "step", "t", *MEASURES]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


@styled
def scores(rows: pd.DataFrame, times: pd.DataFrame) -> Figure:
    """R (above) and R2 (below) against τ, a column for each t; marked are the times, at the t they are read at."""
    table = score_curves(rows)
    if table.empty:
        return drawing.message("no score was measured in these runs: the population's is known for the mixture alone")
    ts = drawing.levels(table["t"])
    figure = Figure(figsize=(max(7.0, 1.0 + 3.6 * len(ts)), 6.2), layout="constrained")
    grid = figure.subplots(len(MEASURES), len(ts), sharex=True, sharey="row", squeeze=False)
    for panels, (name, time) in zip(grid, MEASURES.items(), strict=True):
        for axes, t in zip(panels, ts, strict=True):
            axes.axhline(LEVELS[name], color=MUTED, linewidth=0.9, linestyle=(0, (5, 3)), zorder=1)
            read = times[times["score_t"] == t] if "score_t" in times else times.iloc[:0]
            _draw_curves(axes, table[table["t"] == t], name, read, time)
            drawing.time_axis(axes, table["step"])
        panels[0].set_ylabel(LABELS[name])
    for axes, t in zip(grid[0], ts, strict=True):
        axes.set_title(f"$t = {t}$")
        axes.set_yscale("log")
    drawing.log_ticks(grid[0, 0].yaxis, *grid[0, 0].get_ylim())
    figure.supxlabel(STEP, fontsize=10.5)
    drawing.key(figure, table, _handles())
    return figure


def _draw_curves(axes: Axes, table: pd.DataFrame, name: str, times: pd.DataFrame, time: str) -> None:
    colours, zero = drawing.colours(table["n"]), drawing.zero_place(table["step"])
    known = {row["run"]: row for row in times.to_dict("records")}
    for run, curve in table.groupby("run", sort=False):
        colour = colours[curve["n"].iloc[0]]
        x, y = drawing.placed(curve["step"], zero), curve[name].to_numpy(np.float64)
        axes.plot(x, y, color=colour, linewidth=1.4)
        row = known.get(run, {})
        if row.get(f"{time}_status") == "reached":
            style: dict[str, Any] = {"markerfacecolor": "white", "markeredgewidth": 1.6, "markersize": 6, "zorder": 5}
            axes.plot(float(row[time]), LEVELS[name], MARKS[LIKE[time]], color=colour, **style)


def _handles() -> list[Line2D]:
    style: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "white", "markeredgewidth": 1.6}
    return [
        Line2D([], [], color=GENERALIZE, marker=MARKS["tau_gen"], label="$R$ comes to 1/2", **style),
        Line2D([], [], color=MEMORIZE, marker=MARKS["tau_mem"], label="$R_2$ turns negative", **style),
    ]
