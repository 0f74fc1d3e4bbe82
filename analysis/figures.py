"""Tables to matplotlib figures. Nothing is fitted here: times and laws come in as tables.

Letters: n training images, W base channels, τ training time in optimizer steps, t diffusion time,
f_mem the share of generated samples that are memorized. Step 0 has no place on a log axis: it stands at the
left edge, labelled 0.

Each figure has the table it draws beside it (`curves`, `loss_curves`, `law_points`, `sheet_rows`), and `save`
writes both. The style is set for the length of a call, so a caller's rcParams stay as they are.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from diffmem.errors import InputError
from diffmem.store import write_bytes

from . import drawing
from .drawing import COLOURS, COPY, LINES, MARKERS, MUTED, STEP, STYLE, SYMBOLS, styled

STEP_PER_N = r"$\tau / n$ (optimizer steps per training image)"
KEYS = ["run", "n", "width", "seed", "index"]
TIME_OF = {"f_mem": "tau_mem", "quality": "tau_gen"}
NAMES = {"f_mem": r"$f_\mathrm{mem}$", "quality": "quality (Fréchet distance)"}


@dataclass(frozen=True)
class SampleSheet:
    """Generated samples of one run at one step, beside their nearest training images.

    samples, nearest: [m, C, H, W] pixels in [0, 1]; ratio: [m] d1/d2; memorized where ratio < k.
    """

    run: str
    n: int
    step: int
    samples: np.ndarray
    nearest: np.ndarray
    ratio: np.ndarray
    k: float = 1 / 3

    def __post_init__(self) -> None:
        shape, m = np.shape(self.samples), len(self.ratio)
        if len(shape) != 4 or shape[1] not in (1, 3) or np.shape(self.nearest) != shape or m != shape[0]:
            raise InputError(
                f"the sample sheet of {self.run} at step {self.step} has samples {shape}, nearest "
                f"{np.shape(self.nearest)} and {m} ratios: give [m, C, H, W] twice, with C = 1 or 3, and m ratios."
            )

    @property
    def memorized(self) -> np.ndarray:
        """bool [m]"""
        return np.asarray(self.ratio) < self.k


class Picture(NamedTuple):
    figure: Figure
    data: pd.DataFrame


def save(figure: Figure, data: pd.DataFrame, folder: str | Path, name: str) -> tuple[Path, Path, Path]:
    """Write `name`.png, `name`.svg and `name`.csv, the table behind it, into `folder`; returns the three paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table = data.to_csv(index=False, lineterminator="\n").encode()
    contents = {"png": render(figure, "png"), "svg": render(figure, "svg"), "csv": table}
    for suffix, content in contents.items():
        write_bytes(folder / f"{name}.{suffix}", content, durable=False)
    png, svg, csv = (folder / f"{name}.{suffix}" for suffix in contents)
    return png, svg, csv


def render(figure: Figure, form: str) -> bytes:
    """The figure as `png` or `svg`: the same figure gives the same bytes (no date, no version, salted ids)."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(fname=STYLE):
        figure.savefig(buffer, format=form, metadata={"Date": None} if form == "svg" else {"Software": None})
    return buffer.getvalue()


def draw_all(
    rows: pd.DataFrame, times: pd.DataFrame, laws: Mapping[str, Mapping[str, Any]], sheets: Sequence[SampleSheet] = ()
) -> dict[str, Picture]:
    """Every figure that the tables hold something for, by name, with the table behind it."""
    pictures = {"times_vs_n": Picture(times_vs_n(times, laws), law_points(times, laws))}
    table, measured = curves(rows), loss_curves(rows)
    if {"f_mem", "quality"} & set(table):
        pictures["memorization_and_quality"] = Picture(memorization_and_quality(rows, times), table)
    if "f_mem" in table:
        pictures["fmem_vs_step_per_n"] = Picture(fmem_vs_step_per_n(rows), table)
    if len(measured):
        pictures["losses"] = Picture(losses(rows), measured)
    if sheets:
        pictures["samples_beside_neighbours"] = Picture(samples_beside_neighbours(sheets), sheet_rows(sheets))
    return pictures


def curves(rows: pd.DataFrame, quality: str | None = None) -> pd.DataFrame:
    """What the curves of f_mem and quality draw: one row for each run and step.

    `quality` names an fd_* column, by default the first there is; its values come back as `quality`, its name as
    `quality_name`. Columns that the table lacks, or that hold no number, are absent.
    """
    table = _checked(rows)
    out = table[[*KEYS, "step"]].assign(step_per_n=table["step"] / table["n"])
    names = [name for name in map(str, table) if re.fullmatch(r"fd_\w+", name) and not name.endswith(("_low", "_high"))]
    chosen = quality or next((name for name in names if table[name].notna().any()), None)
    wanted = {name: name for name in ("f_mem", "f_mem_low", "f_mem_high", "f_mem_null")}
    if chosen:
        wanted |= {"quality": chosen, "quality_low": f"{chosen}_low", "quality_high": f"{chosen}_high"}
    for target, source in wanted.items():
        if source in table and table[source].notna().any():
            out[target] = pd.to_numeric(table[source])
    return out.assign(quality_name=chosen) if "quality" in out else out


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


def law_points(times: pd.DataFrame, laws: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The times of every run with the law's value at its n and W (`tau_mem_law`, NaN where there is no law)."""
    out = times.sort_values(["n", "run"], ignore_index=True)
    for name in SYMBOLS:
        if drawing.fitted(laws.get(name)):
            width = out["width"].to_numpy(float) if "width" in out else np.full(len(out), np.nan)
            out[f"{name}_law"] = drawing.law(laws[name], out["n"].to_numpy(float), width)
    return out


def sheet_rows(sheets: Sequence[SampleSheet]) -> pd.DataFrame:
    """run, n, step, sample, ratio, memorized: one row for each sample shown."""
    parts = [
        pd.DataFrame({"sample": np.arange(len(s.ratio)), "ratio": s.ratio, "memorized": s.memorized}).assign(
            run=s.run, n=s.n, step=s.step
        )
        for s in sheets
    ]
    columns = ["run", "n", "step", "sample", "ratio", "memorized"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


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
            _measure_curves(axes, table, name, per_n=per_n, times=times)
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
    _measure_curves(axes, table, "f_mem", per_n=True)
    _measure_axis(axes, table, "f_mem")
    axes.set_xlabel(STEP_PER_N)
    drawing.key(figure, table, [])
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


@styled
def times_vs_n(times: pd.DataFrame, laws: Mapping[str, Mapping[str, Any]]) -> Figure:
    """τ_gen and τ_mem against n with their intervals, the laws fitted to them, and the window between.

    Right-censored times (not reached) are open marks with an arrow up from the last step, left-censored ones with
    an arrow down. The window is shaded between the two laws, at the width with the most runs.
    """
    table = law_points(times, laws)
    shown = [name for name in SYMBOLS if f"{name}_status" in table]
    points = [point for name in shown for point in drawing.points(table, name)]
    if not points:
        return drawing.message("no time was measured in these runs")
    figure = Figure(figsize=(8.6, 5.2), layout="constrained")
    axes = figure.subplots()
    axes.set(xscale="log", yscale="log", xlabel="training images $n$", ylabel=STEP)
    widths = drawing.levels(table.get("width", []))
    for point in drawing.dodged(points):
        drawing.draw_point(axes, point, MARKERS[widths.index(point.width) % 6] if point.width in widths else "o")
    n = table["n"].to_numpy(float)
    span = np.geomspace(n.min() / 1.35, n.max() * 1.35, 64)
    modes = table["width"].mode() if widths else [np.nan]
    common = list(modes)[len(modes) // 2]
    lines = {name: drawing.law(laws[name], span, np.full(64, common)) for name in shown if f"{name}_law" in table}
    for name in lines:
        for place, width in enumerate(widths or [np.nan]):
            line = drawing.law(laws[name], span, np.full(64, width))
            axes.plot(span, line, LINES[place % 4], color=COLOURS[name], zorder=2)
    ends_of = [end for point in points for end in (point.tau, point.low, point.high)]
    heights = [end for end in ends_of if 0 < end < np.inf] + [end for line in lines.values() for end in line[[0, -1]]]
    axes.set(xlim=(span[0], span[-1]), ylim=(min(heights) / 2, max(heights) * 2))
    drawing.n_axis(axes.xaxis, drawing.levels(n))
    drawing.log_ticks(axes.yaxis, *axes.get_ylim())
    if len(lines) == 2:
        drawing.window(axes, span, lines["tau_gen"], lines["tau_mem"], f"$W$ = {common:g}" if len(widths) > 1 else "")
    ends = {
        name: float(lines[name][-1]) if name in lines else max(p.tau for p in points if p.name == name)
        for name in shown
        if any(p.name == name for p in points)
    }
    drawing.end_labels(axes, {drawing.law_text(laws.get(name), name): (y, COLOURS[name]) for name, y in ends.items()})
    if len(widths) > 1:
        styles = [(MARKERS[i % 6], LINES[i % 4], f"$W$ = {width}") for i, width in enumerate(widths)]
        handles = [Line2D([], [], color=MUTED, marker=m, linestyle=line, label=label) for m, line, label in styles]
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    return figure


@styled
def samples_beside_neighbours(sheets: Sequence[SampleSheet]) -> Figure:
    """Generated samples (above) and their nearest training images (below), with d1/d2; a red frame is a copy.

    A row of the figure is a run, n rising downwards; its steps run from left to right.
    """
    if not sheets:
        return drawing.message("no samples were stored")
    runs = sorted({(sheet.n, sheet.run) for sheet in sheets})
    lines = [sorted((s for s in sheets if s.run == run), key=lambda s: s.step) for _, run in runs]
    columns, m = max(map(len, lines)), max(len(sheet.ratio) for sheet in sheets)
    cell = max(2.6, 0.5 * m)
    size = (0.5 + 1.08 * cell * columns, 0.5 + len(lines) * (2 * cell / m + 0.55))
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(wspace=0.06))
    grid = figure.subplots(len(lines), columns, squeeze=False)
    for panels, line in zip(grid, lines, strict=True):
        for axes in panels:
            axes.set_axis_off()
        for axes, sheet in zip(panels, line, strict=False):
            _draw_sheet(axes, sheet)
        label: dict[str, Any] = {"rotation": 90, "ha": "right", "va": "center", "fontsize": 11, "fontweight": "bold"}
        panels[0].text(-0.03, 0.5, f"n = {line[0].n:,}", transform=panels[0].transAxes, **label)
    notes = ("above: generated, below: its nearest training image,", "between: $d_1/d_2$, red where memorized")
    figure.supxlabel((" " if columns > 1 else "\n").join(notes), color=MUTED, fontsize=9)
    return figure


def _checked(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows in order of n, run and step, with every key column. Raises InputError where run, n or step is absent."""
    missing = [name for name in ("run", "n", "step") if name not in rows]
    if missing:
        raise InputError(f"the table of rows has no column {' or '.join(missing)}: read it with analysis.table.")
    absent = {name: np.nan for name in KEYS if name not in rows}
    return rows.assign(**absent).sort_values(["n", "run", "step"], ignore_index=True)


def _measure_curves(
    axes: Axes, table: pd.DataFrame, name: str, *, per_n: bool, times: pd.DataFrame | None = None
) -> None:
    """`name` with its band against τ, or τ/n: a line for each run, its null (f_mem) and its time (from `times`)."""
    column = "step_per_n" if per_n else "step"
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
        style = LINES[widths.index(width) % 4] if width in widths else "-"
        if f"{name}_low" in curve and f"{name}_high" in curve:
            axes.fill_between(x, curve[f"{name}_low"], curve[f"{name}_high"], color=colour, alpha=0.16, linewidth=0)
        axes.plot(x, y, style, color=colour, zorder=3)
        if name == "f_mem" and "f_mem_null" in curve:
            axes.plot(x, curve["f_mem_null"], ":", color=colour, linewidth=1.2, zorder=2)
        drawing.mark_time(axes, x, y, known.get(run, {}), TIME_OF[name], n if per_n else 1.0, colour)
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


def _draw_sheet(axes: Axes, sheet: SampleSheet) -> None:
    """One montage: samples in the upper line, neighbours in the lower, ratios between, red frames around copies."""
    m, _, height, width = sheet.samples.shape
    gap = max(1, round(0.08 * width))
    middle = round(0.42 * height)
    canvas = np.ones((2 * height + middle, m * (width + gap) - gap, 3), dtype=np.float32)
    for i in range(m):
        left = i * (width + gap)
        for top, images in ((0, sheet.samples), (height + middle, sheet.nearest)):
            image = np.clip(np.moveaxis(np.asarray(images[i]), 0, -1), 0, 1)
            canvas[top : top + height, left : left + width] = image
        copied = sheet.memorized[i]
        style: dict[str, Any] = {"color": COPY if copied else MUTED, "fontweight": "bold" if copied else "normal"}
        place = (left + width / 2 - 0.5, height + middle / 2 - 0.5)
        axes.text(*place, f"{sheet.ratio[i]:.2f}", ha="center", va="center", fontsize=8, **style)
        if copied:
            frame = Rectangle((left - 0.5, -0.5), width, height, fill=False, edgecolor=COPY, linewidth=2.2)
            axes.add_patch(frame).set_clip_on(False)
    axes.imshow(canvas, interpolation="nearest")
    axes.set_title(f"step {sheet.step:,}: {sheet.memorized.sum()} of {m} memorized", fontweight="normal", fontsize=9.5)
