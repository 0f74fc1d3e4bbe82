"""ε-losses on train and test images along training, at fixed diffusion times t."""

import re
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from . import drawing
from .curves import KEYS, checked
from .drawing import MUTED, STEP, styled
from .files import Picture
from .material import Material


def draw(material: Material) -> Picture | None:
    """The figure `losses`, where some were measured."""
    table = loss_curves(material.rows)
    return Picture(losses(material.rows), table) if len(table) else None


def loss_curves(rows: pd.DataFrame) -> pd.DataFrame:
    """The ε-losses, one row for each run, step, diffusion time t and split (train or test)."""
    table, parts = checked(rows), []
    for name in map(str, table):
        match = re.fullmatch(r"loss_(train|test)_t(\d+)", name)
        if match and table[name].notna().any():
            part = table[[*KEYS, "step"]].assign(t=int(match[2]), split=match[1], loss=pd.to_numeric(table[name]))
            parts.append(part.dropna(subset="loss"))
    columns = [*KEYS, "step", "t", "split", "loss"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


@styled
def losses(rows: pd.DataFrame) -> Figure:
    """ε-loss on train and test images against τ: a column for each diffusion time t, a row for each width W."""
    table = loss_curves(rows)
    if table.empty:
        return drawing.message("no loss was measured in these runs")
    ts, widths = drawing.levels(table["t"]), drawing.levels(table["width"])
    styles: dict[str, Any] = {"test": "-", "train": (0, (3, 1.6))}
    size = (max(7.0, 1.0 + 4.0 * len(ts)), 1.2 + 2.8 * max(len(widths), 1))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(max(len(widths), 1), len(ts), sharex=True, squeeze=False)
    colours, zero = drawing.colours(table["n"]), drawing.zero_place(table["step"])
    for panels, width in zip(grid, widths or [np.nan], strict=True):
        for axes, t in zip(panels, ts, strict=True):
            part = table[(table["t"] == t) & ((table["width"] == width) | np.isnan(width))]
            for _, curve in part.groupby(["run", "split"]):
                n, split = curve["n"].iloc[0], curve["split"].iloc[0]
                x = drawing.placed(curve["step"], zero)
                axes.plot(x, curve["loss"], color=colours[n], linestyle=styles[split], linewidth=1.4)
            axes.set_yscale("log")
            drawing.log_ticks(axes.yaxis, *axes.get_ylim())
            drawing.time_axis(axes, table["step"])
            axes.set_title(f"$t = {t}$" + (f", $W = {width}$" if len(widths) > 1 else ""))
        panels[0].set_ylabel(r"$\epsilon$-loss (mean square)")
    figure.supxlabel(STEP, fontsize=10.5)
    extra = [Line2D([], [], color=MUTED, linestyle=style, label=f"{split} images") for split, style in styles.items()]
    drawing.key(figure, table.assign(width=np.nan), extra)
    return figure
