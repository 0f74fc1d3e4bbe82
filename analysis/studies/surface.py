"""The figure of the reader `averages`: quality, lean and copies over training time and the width of the average."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ..figures.curves import SHARES, quality_label
from ..figures.drawing import COLOURS, STEP, SYMBOLS, styled
from ..figures.files import Picture


def surface(table: pd.DataFrame, measure: str | None) -> Picture:
    """`table` has a row for each run, width of the average (`ema_sigma`) and step, with the times of that run."""
    return Picture(_draw(table, measure), table)


@styled
def _draw(table: pd.DataFrame, measure: str | None) -> Figure:
    panels = [("tau_gen", measure)] if measure else []
    panels += [("tau_bias", "p_train"), ("tau_mem", "f_mem")]
    figure = Figure(figsize=(4.7 * len(panels), 3.9), layout="constrained")
    for axes, (time, column) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _map(figure, axes, table, column, logarithmic=column == measure)
        _times(axes, table, time)
        axes.set(xscale="log", xlabel=STEP)
        axes.set_title(SYMBOLS[time])
    figure.axes[0].set_ylabel(r"width of the average, $\sigma$ / $\tau$")
    return figure


def _map(figure: Figure, axes: Axes, table: pd.DataFrame, column: str, *, logarithmic: bool) -> None:
    """The mean over runs at each width (rows) and step."""
    after = table[table["step"] > 0]
    values = after.pivot_table(index="ema_sigma", columns="step", values=column)
    steps = np.log(values.columns.to_numpy(dtype=float))
    middle = (steps[1:] + steps[:-1]) / 2
    edges = np.exp(np.concatenate([[2 * steps[0] - middle[0]], middle, [2 * steps[-1] - middle[-1]]]))
    shown = values.to_numpy()
    norm = LogNorm(vmin=max(float(np.nanmin(shown)), 1.0), vmax=float(np.nanmax(shown))) if logarithmic else None
    if logarithmic:
        shown = np.maximum(shown, 1.0)  # a kernel distance may be negative
    drawn = axes.pcolormesh(edges, np.arange(len(values) + 1) - 0.5, shown, norm=norm, cmap="Greys", rasterized=True)
    figure.colorbar(drawn, ax=axes, pad=0.02, label=SHARES.get(column) or quality_label(column).replace("\n", " "))
    axes.set_yticks(range(len(values)), ["raw" if width == 0 else f"{width:g}" for width in values.index])


def _times(axes: Axes, table: pd.DataFrame, time: str) -> None:
    """A mark for each run that reaches its time, with its interval, and a line through the means."""
    rows = table.drop_duplicates(["run", "ema_sigma"])
    places = {width: place for place, width in enumerate(sorted(set(table["ema_sigma"])))}
    reached = rows[rows[f"{time}_status"] == "reached"]
    runs = sorted(set(rows["run"]))
    for row in reached.to_dict("records"):
        height = places[row["ema_sigma"]] + 0.18 * (runs.index(row["run"]) - (len(runs) - 1) / 2)
        ends = [row[f"{time}_low"], row[f"{time}_high"]]
        if np.isfinite(ends).all():
            axes.plot(ends, [height, height], color=COLOURS[time], linewidth=1.4)
        axes.plot(row[time], height, "o", color=COLOURS[time], markeredgecolor="white", markersize=5)
    mean = reached.groupby("ema_sigma")[time].agg(lambda times: float(np.exp(np.log(times).mean())))
    axes.plot(mean, [places[width] for width in mean.index], color=COLOURS[time], linewidth=2.2)
