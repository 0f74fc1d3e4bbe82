"""The gap of losses as a map over training time τ and diffusion time t, with the line along which it begins."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from ..laws.onset import gaps, onsets, run_onsets
from ..times.tau_mem import GAP
from . import drawing
from .curves import checked
from .drawing import STEP, styled
from .files import Picture
from .material import Material

LEAST = 4  # diffusion times that make a map
TOP = 0.5  # of the colours: half of what was learned
ABREAST = 4  # panels in a row


def draw(material: Material) -> Picture | None:
    """The figure `loss_map`, where losses were measured at LEAST diffusion times."""
    return picture(material.rows)


def picture(rows: pd.DataFrame) -> Picture | None:
    """The map and its table: n, width, t, step, gap (mean over the runs), and the onset at that t with its interval."""
    found = gaps(checked(rows))
    if found["t"].nunique() < LEAST:
        return None
    cell = ["n", "width", "t"]
    mean = found.groupby([*cell, "step"], as_index=False)["gap"].mean()
    table = mean.merge(onsets(run_onsets(found)), on=cell)
    return Picture(_map(table), table)


@styled
def _map(table: pd.DataFrame) -> Figure:
    panels = list(table.groupby(["n", "width"]))
    columns, lines = min(len(panels), ABREAST), -(-len(panels) // ABREAST)
    figure = Figure(figsize=(1.4 + 3.3 * columns, 0.5 + 3.4 * lines), layout="constrained")
    several = table["width"].nunique() > 1
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for spare in grid[len(panels) :]:
        spare.remove()
    for axes, ((n, width), part) in zip(grid, panels, strict=False):
        mesh = _panel(axes, part[part["step"] > 0])
        axes.set_title(f"$n$ = {n:,}" + (f", $W$ = {width}" if several else ""))
    figure.supylabel("diffusion time $t$ (more noise upwards)", fontsize=10.5)
    figure.supxlabel(STEP, fontsize=10.5)
    bar = figure.colorbar(mesh, ax=figure.axes, ticks=[0, GAP, 0.25, TOP], extend="both", aspect=30)
    bar.ax.set_yticklabels(["0", f"{GAP:g}, the line", "0.25", f"{TOP:g}"])
    bar.set_label("gap of losses / what was learned")
    return figure


def _panel(axes: Axes, part: pd.DataFrame) -> QuadMesh:
    """One n and W: a cell for each checkpoint and t, t in equal rows."""
    wide = part.pivot(index="t", columns="step", values="gap")
    ts, place = list(wide.index), np.arange(len(wide))
    edges = np.exp(_edges(np.log(wide.columns.to_numpy(float))))
    rows = np.append(place - 0.5, len(ts) - 0.5)
    mesh = axes.pcolormesh(edges, rows, wide.to_numpy(), cmap="magma_r", vmin=0, vmax=TOP, rasterized=True)
    line = part.drop_duplicates("t").sort_values("t")
    ends = line[["low", "high"]].clip(edges[0], edges[-1])
    axes.hlines(place, ends["low"], ends["high"], color=drawing.GENERALIZE, linewidth=0.8)
    axes.plot(line["onset"], place, "o-", color=drawing.GENERALIZE, markersize=4, linewidth=1.8)
    axes.set(xscale="log", xlim=(edges[0], edges[-1]), yticks=place, yticklabels=[f"{t}" for t in ts])
    drawing.log_ticks(axes.xaxis, edges[0], edges[-1])
    axes.grid(visible=False)
    return mesh


def _edges(centres: np.ndarray) -> np.ndarray:
    """The middles between neighbours, and as far out at both ends."""
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])
