"""τ_gen, τ_bias and τ_mem against n: the times with their intervals, their laws, and the window to stop in.

Times and laws come in as tables; nothing is fitted here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..times.words import window_end
from . import drawing, law_lines, time_points
from .drawing import COLOURS, LINES, MARKERS, MUTED, STEP, SYMBOLS, styled
from .files import Picture
from .material import Material
from .time_points import Point

Laws = Mapping[str, Mapping[str, Any]]
SPAN = 64  # points of a law's line


def draw(material: Material) -> Picture:
    """The figure `times_vs_n`; it says so where no time was measured."""
    return Picture(times_vs_n(material.times, material.laws), law_points(material.times, material.laws))


def law_points(times: pd.DataFrame, laws: Laws) -> pd.DataFrame:
    """The times of every run with the law's value at its n and W (`tau_mem_law`, NaN where there is no law)."""
    out = times.sort_values(["n", "run"], ignore_index=True)
    for name in SYMBOLS:
        if law_lines.fitted(laws.get(name)):
            width = out["width"].to_numpy(float) if "width" in out else np.full(len(out), np.nan)
            out[f"{name}_law"] = law_lines.law(laws[name], out["n"].to_numpy(float), width)
    return out


@styled
def times_vs_n(times: pd.DataFrame, laws: Laws) -> Figure:
    """τ_gen, τ_bias and τ_mem against n with their intervals, the laws fitted to them, and the window between.

    Right-censored times (not reached) are open marks with an arrow up from the last step, left-censored ones with
    an arrow down. The window is shaded between the laws of τ_gen and τ_bias (τ_mem without p_train), and each law has
    its 95% band, at the width with the most runs.
    """
    table = law_points(times, laws)
    points = [point for name in SYMBOLS if f"{name}_status" in table for point in time_points.points(table, name)]
    if not points:
        return drawing.message("no time was measured in these runs")
    n, widths = table["n"].to_numpy(float), drawing.levels(table.get("width", []))
    fits = {name: laws[name] for name in SYMBOLS if f"{name}_status" in table and f"{name}_law" in table}
    common = _commonest(table["width"]) if widths else np.nan
    figure = Figure(figsize=(8.6, 5.2), layout="constrained")
    axes = figure.subplots()
    axes.set(xscale="log", yscale="log", xlabel="training images $n$", ylabel=STEP)
    for point in time_points.dodged(points):
        time_points.draw_point(axes, point, MARKERS[widths.index(point.width) % 6] if point.width in widths else "o")
    span = np.geomspace(n.min() / 1.35, n.max() * 1.35, SPAN)
    spans = {name: _span(table, name, span) for name in fits}
    _draw_laws(axes, fits, spans, widths or [np.nan], common)
    lines = {name: law_lines.law(fit, spans[name], np.full(SPAN, common)) for name, fit in fits.items()}
    axes.set(xlim=(span[0], span[-1]), ylim=_heights(points, lines))
    drawing.n_axis(axes.xaxis, drawing.levels(n))
    drawing.log_ticks(axes.yaxis, *axes.get_ylim())
    end = window_end(table)
    if {"tau_gen", end} <= set(lines):
        law_lines.window(axes, span, lines["tau_gen"], lines[end], f"$W$ = {common:g}" if len(widths) > 1 else "")
    _label_ends(axes, points, lines, laws)
    if len(widths) > 1:
        _key_of_widths(figure, widths)
    return figure


def _span(table: pd.DataFrame, name: str, span: np.ndarray) -> np.ndarray:
    """`span`, NaN where it is far from every n that the law of `name` was fitted to."""
    used = table.loc[(table[f"{name}_status"] == "reached") | (table.get(f"{name}_bound", np.inf) > 0), "n"]
    return np.where((span >= used.min() / 1.35) & (span <= used.max() * 1.35), span, np.nan)


def _commonest(width: pd.Series) -> float:
    """The width with the most runs; of equals the one in the middle."""
    modes = list(width.mode())
    return float(modes[len(modes) // 2])


def _draw_laws(axes: Axes, fits: Laws, spans: Mapping[str, np.ndarray], widths: Sequence[float], common: float) -> None:
    """The line of each law over its span [SPAN], one for each width, with its 95% band at `common`."""
    for name, fit in fits.items():
        span = spans[name]
        band = law_lines.band(fit, span, np.full(len(span), common))
        if band is not None:
            axes.fill_between(span, *band, color=COLOURS[name], alpha=0.15, linewidth=0, zorder=1)
        for place, width in enumerate(widths):
            line = law_lines.law(fit, span, np.full(len(span), width))
            axes.plot(span, line, LINES[place % 4], color=COLOURS[name], zorder=2)


def _heights(points: Sequence[Point], lines: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """The steps from below to above all times, their intervals and the ends of the lines."""
    ends = [end for point in points for end in (point.tau, point.low, point.high) if 0 < end < np.inf]
    ends += [end for line in lines.values() for end in (np.nanmin(line), np.nanmax(line))]
    return min(ends) / 2, max(ends) * 2


def _label_ends(axes: Axes, points: Sequence[Point], lines: Mapping[str, np.ndarray], laws: Laws) -> None:
    """The law in words at the right end of its line, or beside the largest time where there is none."""
    labels = {}
    for name in SYMBOLS:
        taus = [point.tau for point in points if point.name == name]
        if taus:
            height = float(lines[name][~np.isnan(lines[name])][-1]) if name in lines else max(taus)
            labels[law_lines.law_text(laws.get(name), name)] = (height, COLOURS[name])
    law_lines.end_labels(axes, labels)


def _key_of_widths(figure: Figure, widths: Sequence[float]) -> None:
    styles = [(MARKERS[i % 6], LINES[i % 4], f"$W$ = {width}") for i, width in enumerate(widths)]
    handles = [Line2D([], [], color=MUTED, marker=m, linestyle=line, label=label) for m, line, label in styles]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
