"""The collapse as a figure: f_mem as measured, and against τ / (n^α W^β), on axes of equally many decades."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import drawing
from .curves import curves
from .drawing import LINES, STEP, styled
from .files import Picture
from .law_lines import interval
from .material import Material


def draw(material: Material) -> Picture | None:
    """The figure `collapse`, where the curves do."""
    fit, quality = material.collapse, material.quality
    if fit is None:
        return None
    return Picture(collapse(material.rows, fit, quality), collapse_rows(material.rows, fit, quality))


def collapse_rows(rows: pd.DataFrame, fit: Mapping[str, Any], quality: str | None = None) -> pd.DataFrame:
    """The table behind the figure: f_mem of every run past step 0, with `step_scaled` = τ / (n^α W^β)."""
    table = curves(rows, quality)
    names = [name for name in table if not str(name).startswith(("quality", "width_step", "step_per"))]
    table = table.loc[(table["step"] > 0) & table["f_mem"].notna(), names]
    scale = table["n"] ** fit["alpha"] * table["width"] ** (fit["beta"] or 0.0)
    return table.assign(step_scaled=table["step"] / scale)


@styled
def collapse(rows: pd.DataFrame, fit: Mapping[str, Any], quality: str | None = None) -> Figure:
    """`rows` is the family's table, `fit` the contents of `collapse.json`, not refused."""
    table = collapse_rows(rows, fit, quality)
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    before, after = figure.subplots(1, 2, sharey=True)
    seen = table[table["f_mem"] >= fit["level_low"] / 5]  # from where curves leave the ground
    decades = max(np.ptp(np.log(seen[column])) for column in ("step", "step_scaled"))
    for axes, column in ((before, "step"), (after, "step_scaled")):
        _draw_curves(axes, table, column)
        middle = float(np.sqrt(seen[column].min() * seen[column].max()))
        low, high = middle * np.exp(-0.55 * decades), middle * np.exp(0.55 * decades)
        axes.set(xscale="log", xlim=(low, high))
        drawing.log_ticks(axes.xaxis, low, high)
        axes.axhspan(fit["level_low"], fit["level_high"], color="#e6e9ee", alpha=0.7, linewidth=0, zorder=0)
    label = rf"$\tau\,/\,n^{{{fit['alpha']:.2f}}}$"
    if fit["beta"] is not None:
        label = rf"$\tau\,/\,(n^{{{fit['alpha']:.2f}}}\,W^{{{fit['beta']:.2f}}})$"
    before.set(xlabel=STEP, ylabel=r"memorized share $f_\mathrm{mem}$", ylim=(0, 1.05 * table["f_mem"].max()))
    before.set_title("as measured (heights compared: grey)")
    after.set_xlabel(label)
    after.set_title(_title(fit))
    drawing.key(figure, table, [])
    return figure


def _title(fit: Mapping[str, Any]) -> str:
    exponents = [(r"collapsed: $\alpha$", "alpha", "")]
    if fit["beta"] is not None:
        exponents.append((r"$\beta$", "beta", "beta_"))
    lines = []
    for symbol, name, end in exponents:
        value = f"{fit[name]:.2f}".replace("-", "−")
        lines.append(f"{symbol} = {value} {interval(fit[f'{end}low'], fit[f'{end}high'])}")
    return "\n".join([*lines, f"spread (score) {fit['score']:.2f} in log time"])


def _draw_curves(axes: Axes, table: pd.DataFrame, column: str) -> None:
    colours, widths = drawing.colours(table["n"]), drawing.levels(table["width"])
    for _, run in table.groupby("run", sort=False):
        style = LINES[widths.index(run["width"].iloc[0]) % 4]
        axes.plot(run[column], run["f_mem"], style, color=colours[run["n"].iloc[0]], linewidth=1.4)
