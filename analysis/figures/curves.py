"""Curves of f_mem, quality and losses along training, as figures and as the tables behind them.

f_mem and quality are drawn against τ, against τ/n, where τ_mem ∝ n makes f_mem fall together, and against W τ and
W τ/n, where the study finds that they fall together over widths as well. Step 0 has no place on a log axis: it stands
at the left edge, labelled 0.
"""

import re
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from diffmem.definitions import quality_column
from diffmem.errors import InputError

from . import drawing
from .drawing import LINES, MUTED, STEP, styled

STEP_PER_N = r"$\tau / n$ (optimizer steps per training image)"
KEYS = ["run", "n", "width", "seed", "index"]
TIME_OF = {"f_mem": "tau_mem", "quality": "tau_gen"}
NAMES = {"f_mem": r"$f_\mathrm{mem}$", "quality": "quality (Fréchet distance)"}


def curves(rows: pd.DataFrame, quality: str | None = None) -> pd.DataFrame:
    """What the curves of f_mem and quality draw: one row for each run and step.

    `quality` names its column (`definitions.quality_column`); its values come back as `quality`, its name as
    `quality_name`. Columns that the table lacks, or that hold no number, are absent.
    """
    table = _checked(rows)
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


def quality_of(times: pd.DataFrame) -> str | None:
    """The measure of quality that the times were read off; None where the table of times does not say."""
    named = times["quality"].dropna() if "quality" in times else pd.Series(dtype=object)
    return str(named.iloc[0]) if len(named) else None


def loss_curves(rows: pd.DataFrame) -> pd.DataFrame:
    """The ε-losses, one row for each run, step, diffusion time t and split (train or test)."""
    table, parts = _checked(rows), []
    for name in map(str, table):
        found = re.fullmatch(r"loss_(train|test)_t(\d+)", name)
        if found and table[name].notna().any():
            part = table[[*KEYS, "step"]].assign(t=int(found[2]), split=found[1], loss=pd.to_numeric(table[name]))
            parts.append(part.dropna(subset="loss"))
    columns = [*KEYS, "step", "t", "split", "loss"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


@styled
def memorization_and_quality(rows: pd.DataFrame, times: pd.DataFrame, quality: str | None = None) -> Figure:
    """f_mem (Wilson band) and quality (its interval), against τ on the left and against τ/n on the right.

    τ_mem is marked on the f_mem curves and τ_gen on those of quality. A measure that the table lacks is left out,
    and the figure says so.
    """
    table = curves(rows, quality)
    shown = [name for name in NAMES if name in table]
    if not shown:
        return drawing.message("no samples were measured: the table holds neither f_mem nor a Fréchet distance")
    figure = Figure(figsize=(10, 1.3 + 2.8 * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), 2, sharex="col", sharey="row", squeeze=False)
    for panels, name in zip(grid, shown, strict=True):
        for axes, per_n in zip(panels, (False, True), strict=True):
            _measure_curves(axes, table, name, "step_per_n" if per_n else "step", times)
        _measure_axis(panels[0], table, name)
    for axes, title in zip(grid[0], ("against training time", "against training time per image"), strict=True):
        axes.set_title(title)
    grid[-1, 0].set_xlabel(STEP)
    grid[-1, 1].set_xlabel(STEP_PER_N)
    drawing.key(figure, table, [drawing.time_handle(TIME_OF[name]) for name in shown])
    missing = " and ".join(text for name, text in NAMES.items() if name not in shown)
    if missing:
        figure.supxlabel(f"Left out: {missing}, which these runs did not measure.", color=MUTED, fontsize=9)
    return figure


@styled
def fmem_vs_step_per_n(rows: pd.DataFrame) -> Figure:
    """f_mem against τ/n: where τ_mem ∝ n, the curves of all n fall together."""
    table = curves(rows)
    if "f_mem" not in table:
        return drawing.message("f_mem was not measured in these runs")
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.subplots()
    _measure_curves(axes, table, "f_mem", "step_per_n")
    _measure_axis(axes, table, "f_mem")
    axes.set_xlabel(STEP_PER_N)
    drawing.key(figure, table, [])
    return figure


@styled
def width_scaling(rows: pd.DataFrame, times: pd.DataFrame, quality: str | None = None) -> Figure:
    """f_mem against W τ/n and quality against W τ: where times go like 1/W, curves of all widths fall together."""
    table = curves(rows, quality)
    columns = {"f_mem": ("width_step_per_n", r"$W\,\tau / n$"), "quality": ("width_step", r"$W\,\tau$")}
    shown = [name for name in columns if name in table]
    if not shown or table["width"].nunique() < 2:
        return drawing.message("one width, or no samples: there is no scaling with W to show")
    figure = Figure(figsize=(10, 1.2 + 3.0 * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), 2, sharey="row", squeeze=False)
    for panels, name in zip(grid, shown, strict=True):
        column, label = columns[name]
        plain = "step_per_n" if name == "f_mem" else "step"
        plain_label = r"$\tau / n$" if name == "f_mem" else r"$\tau$"
        for axes, x, text in zip(panels, (plain, column), (plain_label, label), strict=True):
            _measure_curves(axes, table, name, x, times)
            axes.set_xlabel(f"{text} (optimizer steps{' per training image' if name == 'f_mem' else ''})")
        _measure_axis(panels[0], table, name)
    for axes, title in zip(grid[0], ("as trained", "with training time multiplied by the width"), strict=True):
        axes.set_title(title)
    drawing.key(figure, table, [drawing.time_handle(TIME_OF[name]) for name in shown])
    return figure


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


def _measure_curves(axes: Axes, table: pd.DataFrame, name: str, column: str, times: pd.DataFrame | None = None) -> None:
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


def _measure_axis(axes: Axes, table: pd.DataFrame, name: str) -> None:
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


def _checked(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows in order of n, run and step, with every key column. Raises InputError where run, n or step is absent."""
    missing = [name for name in ("run", "n", "step") if name not in rows]
    if missing:
        raise InputError(f"the table of rows has no column {' or '.join(missing)}: read it with analysis.table.")
    absent = {name: np.nan for name in KEYS if name not in rows}
    return rows.assign(**absent).sort_values(["n", "run", "step"], ignore_index=True)
