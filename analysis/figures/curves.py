"""Curves of f_mem and quality along training: the table behind them, and how one measure is drawn.

f_mem and quality are drawn against τ, τ/n, W τ and W τ/n by the figures of `memorization` and `width_scaling`. Step 0
has no place on a log axis: it stands at the left edge, labelled 0.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from diffmem.definitions import quality_column
from diffmem.errors import InputError

from . import drawing
from .drawing import LINES, MUTED

KEYS = ["run", "n", "width", "seed", "index"]
TIME_OF = {"f_mem": "tau_mem", "quality": "tau_gen"}
NAMES = {"f_mem": r"$f_\mathrm{mem}$", "quality": "quality (Fréchet distance)"}


def curves(rows: pd.DataFrame, quality: str | None = None) -> pd.DataFrame:
    """What the curves of f_mem and quality draw: one row for each run and step.

    `quality` names its column (`definitions.quality_column`); its values come back as `quality`, its name as
    `quality_name`. Columns that the table lacks, or that hold no number, are absent.
    """
    table = checked(rows)
    out = table[[*KEYS, "step"]].assign(
        step_per_n=table["step"] / table["n"],
        width_step=table["width"] * table["step"],
        width_step_per_n=table["width"] * table["step"] / table["n"],
    )
    chosen = quality_column(table, quality)
    wanted = {name: name for name in ("f_mem", "f_mem_low", "f_mem_high", "f_mem_null")}
    if chosen:
        wanted |= {"quality": chosen, "quality_low": f"{chosen}_low", "quality_high": f"{chosen}_high"}
    for target, source in wanted.items():
        if source in table and table[source].notna().any():
            out[target] = pd.to_numeric(table[source])
    return out.assign(quality_name=chosen) if "quality" in out else out


def checked(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows in order of n, run and step, with every key column. Raises InputError where run, n or step is absent."""
    missing = [name for name in ("run", "n", "step") if name not in rows]
    if missing:
        raise InputError(
            f"the table of rows has no column {' or '.join(missing)}: read it with analysis.tables.family.read_table."
        )
    absent = {name: np.nan for name in KEYS if name not in rows}
    return rows.assign(**absent).sort_values(["n", "run", "step"], ignore_index=True)


def measure_curves(axes: Axes, table: pd.DataFrame, name: str, column: str, times: pd.DataFrame | None = None) -> None:
    """`name` with its band against `column`: a line for each run, its null (f_mem) and its time (from `times`)."""
    colours, widths, zero = (
        drawing.colours(table["n"]),
        drawing.levels(table["width"]),
        drawing.zero_place(table[column]),
    )
    known = {} if times is None else {row["run"]: row for row in times.to_dict("records")}
    for run, whole in table.groupby("run", sort=False):
        curve = whole.dropna(subset=name)
        if curve.empty:
            continue
        n, width = float(curve["n"].iloc[0]), curve["width"].iloc[0]
        x, y, colour = drawing.placed(curve[column], zero), curve[name].to_numpy(float), colours[n]
        unit = float(curve["step"].iloc[-1] / curve[column].iloc[-1]) if curve["step"].iloc[-1] else 1.0
        style = LINES[widths.index(width) % 4] if width in widths else "-"
        if f"{name}_low" in curve and f"{name}_high" in curve:
            axes.fill_between(x, curve[f"{name}_low"], curve[f"{name}_high"], color=colour, alpha=0.16, linewidth=0)
        axes.plot(x, y, style, color=colour, zorder=3)
        if name == "f_mem" and "f_mem_null" in curve:
            axes.plot(x, curve["f_mem_null"], ":", color=colour, linewidth=1.2, zorder=2)
        drawing.mark_time(axes, x, y, known.get(run, {}), TIME_OF[name], unit, colour)
    drawing.time_axis(axes, table[column])


def measure_axis(axes: Axes, table: pd.DataFrame, name: str) -> None:
    """Range, scale and label of a measure's axis."""
    if name == "f_mem":
        axes.set(ylim=(-0.03, 1.03), ylabel=r"memorized share $f_\mathrm{mem}$")
        if "f_mem_null" in table:
            note = "dotted: null (held-out images)"
            axes.text(0.02, 0.94, note, transform=axes.transAxes, fontsize=8.5, color=MUTED, va="top")
        return
    axes.set_ylabel(f"Fréchet distance\n({table['quality_name'].iloc[0]})")
    values = table["quality"].to_numpy(float)
    if np.nanmin(values) > 0:
        axes.set_yscale("log")
        axes.set_ylim(np.nanmin(values) / 1.4, np.nanmax(values) * 1.4)
        drawing.log_ticks(axes.yaxis, *axes.get_ylim())
