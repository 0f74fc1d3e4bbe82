"""Pictures of a comparison: the memorized share of each target, and samples beside what they copy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from diffmem.definitions import onset
from diffmem.records import CopySheet

from . import drawing
from .drawing import COPY, GENERALIZE, MEMORIZE, MUTED, styled

LABEL = 46  # characters of a target's name in a figure


@styled
def shares(table: pd.DataFrame) -> Figure:
    """f_mem of each target with its Wilson interval, over the band of its null; the targets from top to bottom."""
    figure = Figure(figsize=(8.6, 1.25 + 0.42 * len(table)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(table.to_dict("records")):
        copies = onset(row["f_mem_low"], row["f_mem_null_high"])
        colour = MEMORIZE if copies else GENERALIZE
        null = (row["f_mem_null_low"], row["f_mem_null_high"])
        axes.fill_betweenx([place - 0.36, place + 0.36], *null, color=MUTED, alpha=0.3, linewidth=0)
        axes.plot([row["f_mem_low"], row["f_mem_high"]], [place, place], color=colour, linewidth=2)
        axes.plot(row["f_mem"], place, "o", color=colour, markersize=8)
        words = f"{row['f_mem']:.3f}"
        left = row["f_mem"] > 0.85
        style: dict[str, Any] = {"va": "center", "ha": "right" if left else "left", "color": colour}
        end = row["f_mem_low"] - 0.015 if left else row["f_mem_high"] + 0.015
        axes.text(end, place, words, fontweight="bold", **style)
    axes.set_yticks(range(len(table)), [short(name) for name in table["target"]])
    axes.set(xlim=(-0.02, 1.02), ylim=(len(table) - 0.4, -0.6))
    axes.set_xlabel(r"memorized share $f_\mathrm{mem}$ with 95% interval; grey: held-out images (null)")
    return figure


@styled
def sheet(sheets: Sequence[CopySheet]) -> Figure:
    """For each target: samples (top), their nearest and second nearest training images, and d1/d2.

    The half on the left has the lowest ratios, the one on the right random samples. A red frame is a memorized sample.
    """
    pictures = [one for one in sheets if np.ndim(one.samples) == 4]
    if not pictures:
        return drawing.message("the targets make points, not images: there is no picture of them")
    figure = Figure(figsize=(13.6, 0.5 + 3.0 * len(pictures)), layout="constrained")
    for axes, one in zip(figure.subplots(len(pictures), 1, squeeze=False)[:, 0], pictures, strict=True):
        axes.set_axis_off()
        _montage(axes, one)
    figure.supxlabel(
        "generated above its nearest and second nearest training image; the number is $d_1/d_2$, red where memorized",
        color=MUTED,
        fontsize=9,
    )
    return figure


def short(name: str) -> str:
    """A target's name, cut in the middle to fit a figure; no character of it is taken as mathematics."""
    cut = name if len(name) <= LABEL else f"{name[: LABEL // 2 - 1]}…{name[-LABEL // 2 :]}"
    return drawing.literal(cut)


def _montage(axes: Axes, one: CopySheet) -> None:
    """Three rows of images on one canvas, ratios under the first row, a wider gap between the halves."""
    m, lowest = len(one.ratio), one.lowest
    height, width = one.samples.shape[-2:]
    gap, line, half = max(1, round(0.1 * width)), round(0.36 * height), round(0.7 * width)
    columns = [i * (width + gap) + (half if i >= lowest else 0) for i in range(m)]
    tops = [0, height + line, 2 * height + line + gap]
    canvas = np.ones((tops[-1] + height, columns[-1] + width, 3))
    for top, name in zip(tops, ("samples", "nearest", "second"), strict=True):
        for left, image in zip(columns, getattr(one, name), strict=True):
            canvas[top : top + height, left : left + width] = _rgb(image)
    axes.imshow(canvas, interpolation="nearest")
    for left, ratio in zip(columns, one.ratio, strict=True):
        copied = ratio < one.k
        style: dict[str, Any] = {"color": COPY if copied else MUTED, "fontweight": "bold" if copied else "normal"}
        place = (left + width / 2 - 0.5, height + line / 2 - 0.5)
        axes.text(*place, f"{ratio:.2f}", ha="center", va="center", fontsize=9, **style)
        if copied:
            for top in tops[:2]:
                frame = Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor=COPY, linewidth=2.2)
                axes.add_patch(frame).set_clip_on(False)
    title = f"{short(one.target)}: $f_\\mathrm{{mem}}$ = {one.f_mem:.3f}"
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=20)
    rows = zip(tops, ("generated", "nearest", "second"), strict=True)
    for top, words in rows:
        axes.text(-0.2 * width, top + height / 2, words, rotation=90, ha="center", va="center", fontsize=8, color=MUTED)
    heads = [(0, "lowest d1/d2")] + ([(columns[lowest], "random samples")] if lowest < m else [])
    for left, words in heads:
        axes.text(left - 0.5, -0.12 * height, words, fontsize=8.5, color=MUTED, va="bottom")


def _rgb(image: np.ndarray) -> np.ndarray:
    """[C, H, W] in [0, 1] as [H, W, 3]: the first three channels, or the mean of fewer."""
    shown = image[:3] if len(image) >= 3 else np.repeat(image.mean(axis=0, keepdims=True), 3, axis=0)
    return np.moveaxis(np.clip(shown, 0, 1), 0, -1)
