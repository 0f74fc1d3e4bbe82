"""Tables to matplotlib figures. Nothing is fitted here: times and laws come in as tables.

Letters: n training images, W base channels, τ training time in optimizer steps, t diffusion time,
f_mem the share of generated samples that are memorized. Step 0 has no place on a log axis: it stands at the
left edge, labelled 0.

Each figure has the table it draws beside it (`curves`, `loss_curves`, `law_points`, `sheet_rows`), and `save`
writes both. The style is set for the length of a call, so a caller's rcParams stay as they are.
"""

import io
from collections.abc import Mapping, Sequence
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

from diffmem.files import write_bytes
from diffmem.records import SampleSheet

from . import drawing
from .curves import curves, fmem_vs_step_per_n, loss_curves, losses, memorization_and_quality, quality_of, width_scaling
from .drawing import COLOURS, COPY, LINES, MARKERS, MUTED, STEP, STYLE, SYMBOLS, styled


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
    """Every figure that the tables hold something for, by name, with the table behind it.

    Quality is the measure that the times were read off.
    """
    pictures = {"times_vs_n": Picture(times_vs_n(times, laws), law_points(times, laws))}
    quality = quality_of(times)
    table, measured = curves(rows, quality), loss_curves(rows)
    if {"f_mem", "quality"} & set(table):
        pictures["memorization_and_quality"] = Picture(memorization_and_quality(rows, times, quality), table)
    if "f_mem" in table:
        pictures["fmem_vs_step_per_n"] = Picture(fmem_vs_step_per_n(rows), table)
    if {"f_mem", "quality"} & set(table) and table["width"].nunique() > 1:
        pictures["width_scaling"] = Picture(width_scaling(rows, times, quality), table)
    if len(measured):
        pictures["losses"] = Picture(losses(rows), measured)
    if sheets:
        pictures["samples_beside_neighbours"] = Picture(samples_beside_neighbours(sheets), sheet_rows(sheets))
    return pictures


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
