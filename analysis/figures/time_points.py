"""Times of runs as marks against n: filled with their interval where reached, open with an arrow where only bounded."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .drawing import COLOURS


class Point(NamedTuple):
    """One time of one run: reached, or a bound (status right or left)."""

    name: str
    n: float
    width: float
    tau: float
    low: float
    high: float
    status: str


def points(table: pd.DataFrame, name: str) -> list[Point]:
    """The times `name` of all runs, at the step that bounds them where censored; runs without either are left out."""
    known = []
    for row in table.to_dict("records"):
        status = row[f"{name}_status"]
        tau = row[name] if status == "reached" else row[f"{name}_last_step"]
        bounded = status == "reached" or row.get(f"{name}_bound", tau) > 0  # NaN where it never comes at this n
        if status in ("reached", "right", "left") and tau > 0 and bounded:
            low, high = (float(row.get(f"{name}_{end}", np.nan)) for end in ("low", "high"))
            known.append(Point(name, row["n"], row.get("width", np.nan), float(tau), low, high, status))
    return known


def dodged(points: Sequence[Point]) -> list[Point]:
    """Points that would hide each other (same n, heights within 30%) side by side, in the order of their time and W."""
    piles: list[list[Point]] = []
    for point in sorted(points, key=lambda p: (p.n, p.tau)):
        last = piles[-1][-1] if piles else None
        if last and last.n == point.n and point.tau < 1.3 * last.tau:
            piles[-1].append(point)
        else:
            piles.append([point])
    out = []
    for pile in piles:
        apart = min(0.06, 0.36 / len(pile))
        for i, point in enumerate(sorted(pile, key=lambda p: (p.name, p.width))):
            out.append(point._replace(n=point.n * np.exp(apart * (i - (len(pile) - 1) / 2))))
    return out


def draw_point(axes: Axes, point: Point, marker: str) -> None:
    """A filled mark with its interval, or an open one with an arrow where the time is only bounded."""
    colour, reached = COLOURS[point.name], point.status == "reached"
    if reached:
        low, high = (end if np.isfinite(end) and end > 0 else point.tau for end in (point.low, point.high))
        axes.plot([point.n, point.n], [low, high], color=colour, linewidth=1.6, alpha=0.8, zorder=3)
        if np.isposinf(point.high):
            _arrow(axes, point.n, point.tau, 20, colour)
    else:
        _arrow(axes, point.n, point.tau, 24 if point.status == "right" else -24, colour)
    face = colour if reached else "white"
    axes.plot(
        point.n, point.tau, marker, color=colour, markerfacecolor=face, markeredgewidth=1.6, markersize=7, zorder=4
    )


def _arrow(axes: Axes, x: float, y: float, rise: float, colour: str) -> None:
    """An arrow from (x, y), `rise` points up or down: the time lies somewhere there."""
    shape = {"arrowstyle": "<|-", "color": colour, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 4}
    axes.annotate("", xy=(x, y), xytext=(0, rise), textcoords="offset points", arrowprops=shape)
