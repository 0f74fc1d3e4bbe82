"""The phase diagram as a figure: which runs memorize, generalize or are untrained, and where the boundary n* lies.

With several widths there is a panel for each of a few steps, n to the right and W upwards; with one width a single
panel with the steps upwards. A cell is one (n, W); where its replicates disagree it is divided by their shares.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from ..laws.boundary import boundary_words
from ..laws.phase import PHASES
from . import drawing
from .drawing import GENERALIZE, MEMORIZE, MUTED, STEP, styled
from .files import Picture
from .material import Material

PANELS = 4
LOOKS: dict[str, dict[str, Any]] = {
    "memorizing": {"facecolor": MEMORIZE},
    "generalizing": {"facecolor": GENERALIZE},
    "untrained": {"facecolor": "#c3cad4"},
    "not memorizing": {"facecolor": GENERALIZE, "alpha": 0.45},
    "unknown": {"facecolor": "white", "edgecolor": MUTED, "hatch": "////", "linewidth": 0.6},
}
LINE = "#1d2633"


def draw(material: Material) -> Picture | None:
    """The figure `phase_diagram`, where the runs have one."""
    if material.diagram is None:
        return None
    return Picture(phase_diagram(*material.diagram), phase_rows(*material.diagram))


def phase_rows(phases: pd.DataFrame, boundary: pd.DataFrame) -> pd.DataFrame:
    """The table behind the figure: the phase of every run, and n* at its step and width as `boundary_*` columns."""
    names = {name: f"boundary_{name}" for name in ("low", "high", "status")}
    return phases.merge(boundary.rename(columns=names), on=["step", "width"], how="left")


@styled
def phase_diagram(phases: pd.DataFrame, boundary: pd.DataFrame) -> Figure:
    """`phases` and `boundary` are the tables of those names in `laws.phase` and `laws.boundary`."""
    steps, widths = drawing.levels(phases["step"]), drawing.levels(phases["width"])
    if len(widths) == 1:
        figure = Figure(figsize=(8.6, 1.6 + 0.42 * len(steps)), layout="constrained")
        axes = figure.subplots()
        _draw_panel(axes, phases, boundary, "step", [f"{step:,}" for step in steps])
        axes.set_ylabel(STEP)
    else:
        shown = [steps[place] for place in sorted({*np.linspace(0, len(steps) - 1, PANELS).round().astype(int)})]
        columns = min(2, len(shown))
        lines = -(-len(shown) // columns)
        figure = Figure(figsize=(6.2 * columns, 0.9 + lines * (1.0 + 0.42 * len(widths))), layout="constrained")
        grid = figure.subplots(lines, columns, squeeze=False)
        for axes in grid.flat[len(shown) :]:
            axes.set_axis_off()
        for axes, step in zip(grid.flat, shown, strict=False):
            at_step, its_boundary = (table[table["step"] == step] for table in (phases, boundary))
            _draw_panel(axes, at_step, its_boundary, "width", [f"{width}" for width in widths])
            axes.set_title(rf"$\tau$ = {step:,} steps")
            axes.set_ylabel("base channels $W$")
    handles: list[Any] = [Patch(label=name, **LOOKS[name]) for name in PHASES if name in set(phases["phase"])]
    handles.append(Line2D([], [], color=LINE, linewidth=2.4, label="boundary $n^*$ (95%)"))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    return figure


def _draw_panel(axes: Axes, phases: pd.DataFrame, boundary: pd.DataFrame, rows: str, labels: list[str]) -> None:
    """Cells and boundary of one panel; `rows` is the column whose values stand one above the other."""
    places = {value: place for place, value in enumerate(drawing.levels(phases[rows]))}
    n = np.array(drawing.levels(phases["n"]), dtype=float)
    edges = np.sqrt(n[:-1] * n[1:])
    edges = np.array([n[0] ** 2 / edges[0], *edges, n[-1] ** 2 / edges[-1]])
    for column, one in enumerate(drawing.levels(n)):
        for value, place in places.items():
            runs = phases[(phases["n"] == one) & (phases[rows] == value)]
            _draw_cell(axes, np.log(edges[column : column + 2]), place, runs["phase"])
    known = [(places[row[rows]], row) for row in boundary.to_dict("records")]
    for place, row in known:
        _draw_boundary(axes, np.log(edges[[0, -1]]), place, row)
    line = [(np.log(row["n_star"]), place) for place, row in sorted(known, key=lambda one: one[0])]
    axes.plot(*zip(*line, strict=True), color=LINE, linewidth=1.2, alpha=0.6, zorder=4)
    axes.set(xlim=np.log(edges[[0, -1]]), ylim=(-0.5, len(places) - 0.5), xlabel="training images $n$")
    every = -(-len(n) // 12)
    axes.set_xticks(np.log(n[::every]), [f"{one:,.0f}" for one in n[::every]])
    axes.set_yticks(range(len(places)), labels)
    axes.grid(visible=False)
    axes.tick_params(length=0)


def _draw_cell(axes: Axes, ends: np.ndarray, place: int, phases: pd.Series) -> None:
    left = ends[0]
    for name in PHASES:
        share = (phases == name).mean() * (ends[1] - ends[0])
        if share > 0:
            axes.add_patch(Rectangle((left, place - 0.46), share, 0.92, **LOOKS[name]))
        left += share
    axes.plot([ends[1]] * 2, [place - 0.5, place + 0.5], color="white", linewidth=1.5, zorder=2)


def _draw_boundary(axes: Axes, ends: np.ndarray, place: int, row: Mapping[Any, Any]) -> None:
    """n* with its interval, or the arrow or the span that says what is known of it; in words on the right."""
    status, lead = row["status"], {"bracketed": " =", "between": " lies"}
    words = boundary_words(row).replace(">=", "≥").replace("<=", "≤")
    text = f"$n^*${lead.get(status, '')} {words}"
    axes.text(1.015, place, text, transform=axes.get_yaxis_transform(), va="center", color=MUTED, fontsize=9)
    if status in ("above", "below"):
        bound, mark = (row["low"], ">") if status == "above" else (row["high"], "<")
        axes.plot(np.log(bound), place, mark, color=LINE, markeredgecolor="white", markersize=10, zorder=5)
    if status in ("bracketed", "between"):
        low, high = np.clip(np.log([max(row["low"], 1e-9), row["high"]]), *ends)
        mark = "-|" if status == "between" else "-"
        axes.plot([low, high], [place, place], color="white", linewidth=3.4, zorder=5)
        axes.plot([low, high], [place, place], mark, color=LINE, linewidth=1.4, zorder=5)
    if status == "bracketed":
        line = [np.log(row["n_star"])] * 2, [place - 0.46, place + 0.46]
        axes.plot(*line, color="white", linewidth=5, solid_capstyle="butt", zorder=5)
        axes.plot(*line, color=LINE, linewidth=2.6, solid_capstyle="butt", zorder=6)
