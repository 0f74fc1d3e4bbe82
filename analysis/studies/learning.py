"""Figure 2 of the study: losses, f_mem and quality of one family against τ and against τ/n. Claims as in `laws`."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..figures import drawing
from ..figures.curves import curves, measure_axis, measure_curves
from ..figures.drawing import MUTED, STEP, styled
from ..figures.files import Picture
from ..figures.losses import loss_curves
from ..figures.memorization import STEP_PER_N
from ..pipeline import fit
from ..times.family import quality_read
from . import laws
from .reading import Reading, Request

STYLES: dict[Any, Any] = {"test": "-", "train": (0, (3, 1.6))}
MEASURES = ("f_mem", "quality")


def read(request: Request) -> Reading:
    """The reader `learning`, of a study with one arm."""
    (place,) = request.places.values()
    fitted = fit(place)
    rows, quality = fitted.family.rows, quality_read(fitted.times)
    table, losses = curves(rows, quality), loss_curves(rows)
    losses = losses[losses["t"] == losses["t"].min()]
    return Reading(laws.read(request).found, Picture(_draw(table, losses, fitted.times), _table(table, losses)))


def _table(table: pd.DataFrame, losses: pd.DataFrame) -> pd.DataFrame:
    """What is drawn, one row for each run and step."""
    wide = losses.pivot_table(index=["run", "step", "t"], columns="split", values="loss").add_prefix("loss_")
    columns = ["run", "n", "seed", "step"]
    columns += [f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high") if f"{name}{end}" in table]
    return table[columns].merge(wide.reset_index(), on=["run", "step"], how="left")


@styled
def _draw(table: pd.DataFrame, losses: pd.DataFrame, times: pd.DataFrame) -> Figure:
    shown = [name for name in MEASURES if name in table]
    figure = Figure(figsize=(10, 3.6 + 2.5 * len(shown)), layout="constrained")
    grid = figure.subplots(1 + len(shown), 2, sharex="col", sharey="row", squeeze=False)
    for axes, unit in zip(grid[0], (None, "n"), strict=True):
        _draw_losses(axes, losses, unit)
    grid[0, 0].set_ylabel(r"$\epsilon$-loss" + (f" at $t = {losses['t'].iloc[0]}$" if len(losses) else ""))
    for panels, name in zip(grid[1:], shown, strict=True):
        for axes, column in zip(panels, ("step", "step_per_n"), strict=True):
            measure_curves(axes, table, name, column, times)
        measure_axis(panels[0], table, name)
    for axes, title in zip(grid[0], ("against training time", "against training time per image"), strict=True):
        axes.set_title(title)
    grid[-1, 0].set_xlabel(STEP)
    grid[-1, 1].set_xlabel(STEP_PER_N)
    extra = [Line2D([], [], color=MUTED, linestyle=style, label=f"{split} images") for split, style in STYLES.items()]
    drawing.key(figure, table, extra)
    return figure


def _draw_losses(axes: Axes, losses: pd.DataFrame, unit: str | None) -> None:
    """Test and train loss of every run against τ, or against τ/n."""
    x = losses["step"] / (losses[unit] if unit else 1)
    colours, zero = drawing.colours(losses["n"]), drawing.zero_place(x)
    for (_, split), curve in losses.assign(x=x).groupby(["run", "split"]):
        colour = colours[curve["n"].iloc[0]]
        axes.plot(drawing.placed(curve["x"], zero), curve["loss"], linestyle=STYLES[split], color=colour, linewidth=1.2)
    axes.set_yscale("log")
    drawing.log_ticks(axes.yaxis, *axes.get_ylim())
    drawing.time_axis(axes, np.asarray(x))
