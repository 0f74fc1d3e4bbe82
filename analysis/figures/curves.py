"""Curves of f_mem, quality and p_train along training: the table behind them, and how one measure is drawn.

f_mem and quality are drawn against τ, τ/n, W τ and W τ/n by the figures of `memorization` and `width_scaling`. Step 0
has no place on a log axis: it stands at the left edge, labelled 0.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from diffmem.definitions import (
    ALIASES,
    BOOKENDS,
    FRECHET,
    INCEPTION_KERNEL,
    KERNEL,
    SLICED,
    TRIVIAL,
    UNBIASED_FRECHET,
    as_distance,
    higher_is_better,
    quality_column,
)
from diffmem.errors import InputError

from ..tables.bookends import bookends
from . import drawing
from .drawing import LINES, MUTED

KEYS = ["run", "n", "width", "seed", "index"]
TIME_OF = {"f_mem": "tau_mem", "quality": "tau_gen", "p_train": "tau_bias"}
SHARES = {
    "f_mem": r"memorized share $f_\mathrm{mem}$",
    "p_train": r"closer to training images $p_\mathrm{train}$",
}
NAMES = {"f_mem": r"$f_\mathrm{mem}$", "quality": "quality"}
KINDS = {
    KERNEL: "kernel distance x 1000",
    FRECHET: "Fréchet distance",
    INCEPTION_KERNEL: "kernel distance, cubic",
    UNBIASED_FRECHET: "Fréchet distance, 1/M to 0",
    SLICED: "sliced Wasserstein distance",
}
LINE_WORDS = {"mean_image": "mean image", "independent": "independent pixels", "average": "average of two"}


def curves(rows: pd.DataFrame, quality: str | None = None) -> pd.DataFrame:
    """What the curves of f_mem, quality and p_train draw: one row for each run and step.

    `quality` names its column (`definitions.quality_column`); its values come back as `quality`, its name as
    `quality_name`, its bookends as `quality@<bookend>`. Columns that the table lacks, or that hold no number, are
    absent.
    """
    table = checked(rows)
    out = table[[*KEYS, "step"]].assign(
        step_per_n=table["step"] / table["n"],
        width_step=table["width"] * table["step"],
        width_step_per_n=table["width"] * table["step"] / table["n"],
    )
    chosen = quality_column(table, quality)
    wanted = {name + end: name + end for name in SHARES for end in ("", "_low", "_high", "_null", "_heldout")}
    if chosen:
        ends = ("", "_low", "_high", *(f"@{name}" for name in BOOKENDS))
        wanted |= {f"quality{end}": f"{chosen}{end}" for end in ends}
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
    """`name` with its band against `column`: a line for each run, its null (of a share) and its time (from `times`)."""
    colours, widths, zero = (
        drawing.colours(table["n"]),
        drawing.levels(table["width"]),
        drawing.zero_place(table[column]),
    )
    known = {} if times is None else {row["run"]: row for row in times.to_dict("records")}
    apart = _rows_apart(known, TIME_OF[name]) if name == "quality" else {}
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
        if f"{name}_null" in curve:
            axes.plot(x, curve[f"{name}_null"], ":", color=colour, linewidth=1.2, zorder=2)
        drawing.mark_time(axes, x, y, known.get(run, {}), TIME_OF[name], unit, colour, apart.get(run))
    drawing.time_axis(axes, table[column])
    if name == "quality":
        _bookend_lines(axes, table, times)


def _rows_apart(times: Mapping[Any, Mapping[Any, Any]], name: str) -> dict[Any, float]:
    """Heights of the axes for the intervals of runs that come to one level: in order of n, from above, where no falling
    curve is any more."""
    reached = [run for run, row in times.items() if row.get(f"{name}_status") == "reached"]
    step = min(0.032, 0.35 / max(len(reached), 1))
    ordered = sorted(reached, key=lambda run: (times[run].get("n", 0), str(run)))
    return {run: 0.88 - step * place for place, run in enumerate(ordered)}


def _bookend_lines(axes: Axes, table: pd.DataFrame, times: pd.DataFrame | None) -> None:
    """Named lines where real images, the mean image and the best trivial generator lie, and the common level."""
    ends = bookends(table, "quality")
    measure = str(table["quality_name"].iloc[0])
    trivial = (name for name in TRIVIAL if name in ends)
    best = min(trivial, key=lambda name: as_distance(measure, ends[name]), default="")
    lines = {LINE_WORDS.get(name, name): ends[name] for name in ("mean_image", best) if name in ends}
    if times is not None and "level" in times and times["level"].notna().any():
        lines[r"level of $\tau_\mathrm{gen}$"] = float(times["level"].dropna().iloc[0])
    if "real" in ends:
        lines["real images"] = ends["real"]
    for label, height in lines.items():
        axes.axhline(height, color=MUTED, linewidth=0.9, linestyle=(0, (5, 3)), zorder=1)
        late = label == "mean image"  # curves begin near it
        axes.annotate(
            label,
            (0.985 if late else 0.015, height),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="right" if late else "left",
            va="bottom",
            fontsize=8,
            color=MUTED,
        )


def quality_label(measure: str) -> str:
    """What a measure of quality is called on an axis."""
    if higher_is_better(measure):
        return f"{measure.partition('_')[0]}\n({measure})"
    named = {column: word.upper() for word, column in ALIASES.items()}
    kind = next((words for prefix, words in KINDS.items() if measure.startswith(prefix)), "quality")
    return f"{named.get(measure, kind)}\n({drawing.literal(measure)})"


def measure_axis(axes: Axes, table: pd.DataFrame, name: str) -> None:
    """Range, scale and label of a measure's axis."""
    if name in SHARES:
        shown = table[[column for column in (name, f"{name}_low", f"{name}_high", f"{name}_null") if column in table]]
        low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
        room = 0.03 + 0.1 * (high - low)
        axes.set(ylim=(max(low - room, -0.03 * (high + room)), min(high + room, 1.03)), ylabel=SHARES[name])
        if f"{name}_null" in table:
            note = f"dotted: null ({'before fine-tuning' if f'{name}_heldout' in table else 'held-out images'})"
            axes.text(0.02, 0.94, note, transform=axes.transAxes, fontsize=8.5, color=MUTED, va="top")
        return
    measure = str(table["quality_name"].iloc[0])
    axes.set_ylabel(quality_label(measure))
    if higher_is_better(measure):
        return
    values = np.concatenate([table["quality"].to_numpy(float), list(bookends(table, "quality").values())])
    low, high = np.nanmin(values), np.nanmax(values)
    if low > 0:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.4, high * 1.4)
        drawing.log_ticks(axes.yaxis, *axes.get_ylim())
    else:  # straight about zero, where intervals hold it, and in log beyond
        width = (table["quality_high"] - table["quality_low"]).median() / 2 if "quality_low" in table else 0.0
        near = max(-float(low), float(np.nan_to_num(width)), 1e-9)
        axes.set_yscale("symlog", linthresh=near)
        axes.set_ylim(low - near / 2, max(high, near) * 1.6)
        drawing.log_ticks(axes.yaxis, near, axes.get_ylim()[1], {0.0: "0"})
