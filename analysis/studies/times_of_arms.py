"""The figure of the reader `laws`: a time of every arm against n, a panel for each time."""

from collections.abc import Sequence

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..figures import drawing
from ..figures.drawing import MARKERS, STEP, SYMBOLS, styled
from ..figures.files import Picture

KEYS = ["run", "n", "width", "seed", "index"]
ENDS = ("", "_low", "_high", "_status", "_last_step")


def times_of_arms(arms: Sequence[tuple[str, str, pd.DataFrame]]) -> Picture:
    """`arms` are (arm, time, the table of times): the figure and its table, which has a row for each run and time."""
    tables = []
    for arm, time, times in arms:
        name = time.partition(":")[0]
        columns = {f"{name}{end}": f"tau{end}" for end in ENDS}
        tables.append(times[[*KEYS, *columns]].rename(columns=columns).assign(arm=arm, time=time))
    table = pd.concat(tables, ignore_index=True)
    return Picture(_draw(table), table)


@styled
def _draw(table: pd.DataFrame) -> Figure:
    times, arms = list(dict.fromkeys(table["time"])), list(dict.fromkeys(table["arm"]))
    figure = Figure(figsize=(4.6 * len(times) + 0.6, 4.4), layout="constrained")
    for axes, time in zip(figure.subplots(1, len(times), squeeze=False)[0], times, strict=True):
        at = table[table["time"] == time]
        for place, arm in enumerate(arms):
            _draw_arm(axes, at[at["arm"] == arm], place, arm if len(arms) > 1 else None)
        name, _, definition = time.partition(":")
        axes.set(xscale="log", yscale="log", xlabel="training images $n$", ylabel=STEP)
        axes.set_title(f"{SYMBOLS[name]} {definition}".strip())
        drawing.n_axis(axes.xaxis, drawing.levels(at["n"]))
        drawing.log_ticks(axes.yaxis, *axes.get_ylim())
    if len(arms) > 1:
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(arms))
    return figure


def _draw_arm(axes: Axes, rows: pd.DataFrame, place: int, label: str | None) -> None:
    """Reached times with their intervals, and the mean of the replicates as a line; open marks are bounds."""
    colour, marker = matplotlib.colormaps["tab10"](place), MARKERS[place % len(MARKERS)]
    reached = rows[rows["tau_status"] == "reached"]
    n = reached["n"] * 1.02**place  # side by side
    ends = [reached["tau"] - reached["tau_low"], reached["tau_high"] - reached["tau"]]
    error = [end.where(end < float("inf"), 0).fillna(0) for end in ends]
    axes.errorbar(n, reached["tau"], error, fmt=marker, color=colour, markersize=5, linewidth=1, label=label)
    mean = reached.groupby("n")["tau"].mean()
    axes.plot(mean.index, mean, color=colour, linewidth=1)
    open_ = rows[rows["tau_status"] == "right"]
    axes.plot(open_["n"], open_["tau_last_step"], marker, color=colour, markerfacecolor="white", markersize=5)
