"""The figure of theory, random features and networks on the same images: `diffmem theory overlay`.

Letters: τ training time in units of the model, L* the loss of the exact score of Gaussian data of the same covariance.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from . import drawing
from .drawing import COLOURS, MUTED, SYMBOLS, styled
from .theory import TAU, warn

STYLES: dict[str, dict[str, Any]] = {
    "limit": {"linewidth": 1.6},
    "features": {"linestyle": "none", "marker": ".", "markersize": 5},
    "network": {"linestyle": (0, (1.2, 1.2)), "linewidth": 1.2, "marker": "s", "markersize": 2.6},
}
WORDS = {
    "limit": "theory, of the covariance",
    "features": "random features, trained on the images",
    "network": "networks",
}


@styled
def overlay(table: pd.DataFrame, facts: Mapping[str, Any]) -> Figure:
    """Test loss, train loss and the times of all three, a colour for each n; the dotted line is L*."""
    figure = Figure(figsize=(13.2, 4.6), layout="constrained")
    grid = figure.subplots(1, 3, width_ratios=(1.2, 1.2, 1))
    colours = drawing.colours(table["n"])
    for axes, name in zip(grid, ("test", "train"), strict=False):
        for (kind, _, n), part in table.fillna({"run": ""}).groupby(["kind", "run", "n"]):
            axes.plot(part["tau"], part[name], color=colours[float(str(n))], **STYLES[str(kind)])
        axes.axhline(facts["best"], color=MUTED, linestyle=(0, (1, 1.5)), linewidth=1.4)
        axes.set(xscale="log", xlabel=TAU, ylabel=f"{name} loss at $t$ = {facts['t']:.3g}")
        limit = table.loc[table["kind"] == "limit", "tau"]
        axes.set_xlim(float(limit.min()), float(limit.max()))
        drawing.log_ticks(axes.xaxis, float(limit.min()), float(limit.max()))
        axes.set_ylim(0, 1.25)
    grid[0].annotate(
        "$L^*$: the best that Gaussian data allow",
        (0.02, facts["best"]),
        (0, -3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="top",
        color=MUTED,
    )
    _times(grid[2], pd.DataFrame(facts["curves"]))
    handles = [Line2D([], [], color=MUTED, label=words, **STYLES[kind]) for kind, words in WORDS.items()]
    drawing.key(figure, table.assign(width=float("nan")), handles)
    settings = facts["settings"]
    grid[0].set_title(rf"{settings['data']['name']}, $d$ = {facts['d']}, $\psi_p$ = {settings['psi_p']:g}")
    grid[1].set_title(f"networks drawn at {facts['tau_per_step']:.2g} per step")
    warn(figure, facts)
    return figure


def _times(axes: Axes, curves: pd.DataFrame) -> None:
    """τ_gen and τ_mem, from the losses, against n."""
    for name, marker in (("tau_mem", "D"), ("tau_gen", "o")):
        for kind in WORDS:
            mean = curves[curves["kind"] == kind].astype({name: float}).groupby("n")[name].mean()
            style = {**STYLES[kind], "marker": marker, "markersize": {"limit": 7, "features": 3.5, "network": 5}[kind]}
            face = "white" if kind == "limit" else COLOURS[name]
            axes.plot(mean.index, mean, color=COLOURS[name], markerfacecolor=face, **style)
    axes.set(xscale="log", yscale="log", xlabel="training images $n$", ylabel=TAU)
    axes.set_title(f"{SYMBOLS['tau_gen']} (round) and {SYMBOLS['tau_mem']}, from the losses")
    drawing.n_axis(axes.xaxis, sorted(set(curves["n"])))
    drawing.log_ticks(axes.yaxis, *axes.get_ylim())
