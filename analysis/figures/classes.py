"""Copies, lean and quality of one class at a time along training, where the network was told labels.

The columns are `<measure>@class<label>` of the rows: of the samples that were given this label.
"""

import re

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from diffmem.definitions import quality_column

from . import drawing
from .curves import KEYS, SHARES, checked, quality_label
from .drawing import STEP, styled
from .files import Picture
from .material import Material

ALL = "all"
NAMED = 20  # classes that the key names one by one


def draw(material: Material) -> Picture | None:
    """The figure `classes`, where rows have measures of single classes."""
    table = class_curves(material.rows, material.quality)
    return Picture(classes(material.rows, material.quality), table) if len(table) else None


def class_curves(rows: pd.DataFrame, quality: str | None = None) -> pd.DataFrame:
    """One row for each run, step, measure and class: its `value`; the class `all` is of all samples together."""
    table, parts = checked(rows), []
    shown = [name for name in (*SHARES, quality_column(table, quality)) if name]
    pattern = re.compile(rf"({'|'.join(map(re.escape, shown))})@class(\d+)")
    found = [match for name in map(str, table) if (match := pattern.fullmatch(name)) and table[name].notna().any()]
    for match in found:
        parts.append(_part(table, match[1], match[2], match[0]))
    for measure in dict.fromkeys(match[1] for match in found):
        parts.append(_part(table, measure, ALL, measure))
    columns = [*KEYS, "step", "measure", "class", "value"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _part(table: pd.DataFrame, measure: str, label: str, column: str) -> pd.DataFrame:
    part = table[[*KEYS, "step"]].assign(measure=measure, value=pd.to_numeric(table[column]))
    part["class"] = label
    return part.dropna(subset="value")


@styled
def classes(rows: pd.DataFrame, quality: str | None = None) -> Figure:
    """Each measure against τ, a line for each class and a black one for all: a column a measure, a row for each n.

    Runs of one n are averaged at each step.
    """
    table = class_curves(rows, quality)
    if table.empty:
        return drawing.message("these runs have no measures of single classes")
    measures, ns = list(dict.fromkeys(table["measure"])), drawing.levels(table["n"])
    labels = sorted((label for label in table["class"].unique() if label != ALL), key=int)
    palette = matplotlib.colormaps["tab20" if len(labels) > 10 else "tab10"]
    colours = {label: palette(place % palette.N) for place, label in enumerate(labels)} | {ALL: "black"}
    figure = Figure(figsize=(4.2 * len(measures), 1.0 + 3.0 * len(ns)), layout="constrained")
    grid = figure.subplots(len(ns), len(measures), sharex=True, squeeze=False)
    zero = drawing.zero_place(table["step"])
    for panels, n in zip(grid, ns, strict=True):
        for axes, measure in zip(panels, measures, strict=True):
            part = table[(table["n"] == n) & (table["measure"] == measure)]
            for label in (*labels, ALL):
                mean = part[part["class"] == label].groupby("step")["value"].mean()
                width = 2.2 if label == ALL else 1.1
                axes.plot(drawing.placed(mean.index, zero), mean.to_numpy(), color=colours[label], linewidth=width)
            drawing.time_axis(axes, table["step"])
            axes.set(ylabel=SHARES.get(measure) or quality_label(measure), title=f"$n = {n:,}$")
    figure.supxlabel(STEP, fontsize=10.5)
    named = [*(labels if len(labels) <= NAMED else ()), ALL]
    lines = [Line2D([], [], color=colours[label], label=f"class {label}" if label != ALL else ALL) for label in named]
    figure.legend(handles=lines, loc="outside upper center", ncols=min(len(lines), 3 * len(measures)))
    return figure
