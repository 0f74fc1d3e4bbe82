"""Generated samples beside their nearest training images: which runs and steps to show, the table, the montages."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from diffmem.records import SampleSheet

from ..tables.family import Family
from . import drawing
from .drawing import COPY, MUTED, styled
from .files import Picture
from .material import Material


def draw(material: Material) -> Picture | None:
    """The figure `samples_beside_neighbours`, where samples were stored."""
    sheets = material.sheets
    return Picture(samples_beside_neighbours(sheets), sheet_rows(sheets)) if sheets else None


def shown_steps(family: Family, times: pd.DataFrame) -> list[tuple[Path, int]]:
    """The (run, step) pairs whose samples are shown: smallest, middle and largest n, from quality to copies."""
    runs = family.runs.dropna(subset="path").sort_values(["n", "width", "seed"], kind="stable")
    if runs.empty:
        return []
    places = sorted({0, len(runs) // 2, len(runs) - 1})
    pairs = []
    for entry in runs.iloc[places].to_dict("records"):
        steps = family.rows.loc[family.rows["run"] == entry["run"], "step"].tolist()
        time = times.set_index("run").loc[entry["run"]]
        known = [time.get(name) for name in ("tau_gen", "tau_bias", "tau_mem")]
        reached = [value for value in known if pd.notna(value)]
        nearest = {steps[int(np.abs(np.array(steps) - value).argmin())] for value in reached}
        pairs += [(Path(entry["path"]), step) for step in sorted({steps[len(steps) // 3], *nearest, steps[-1]})]
    return pairs


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
            draw_montage(axes, sheet)
            title = f"step {sheet.step:,}: {sheet.memorized.sum()} of {len(sheet.ratio)} memorized"
            axes.set_title(title, fontweight="normal", fontsize=9.5)
        label: dict[str, Any] = {"rotation": 90, "ha": "right", "va": "center", "fontsize": 11, "fontweight": "bold"}
        panels[0].text(-0.03, 0.5, f"n = {line[0].n:,}", transform=panels[0].transAxes, **label)
    notes = ("above: generated, below: its nearest training image,", "between: $d_1/d_2$, red where memorized")
    figure.supxlabel((" " if columns > 1 else "\n").join(notes), color=MUTED, fontsize=9)
    return figure


def draw_montage(axes: Axes, sheet: SampleSheet) -> None:
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
