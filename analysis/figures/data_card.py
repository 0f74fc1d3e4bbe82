"""The card of a data set as a figure: images, the mean image, near copies, the spectrum; and its tables.

Files: `<name>.png` and `.svg`, `.csv` (the spectrum), `<name>_copies.csv` and `.json` (every number).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffmem.files import write_bytes
from diffmem.records import DataCard

from . import drawing
from .drawing import GENERALIZE, MEMORIZE, MUTED, literal, styled
from .files import save

COLUMNS = 20  # images in a row of the montage


def write(card: DataCard, folder: Path) -> list[Path]:
    """Write the card's files into `folder`; returns their paths, the PNG first."""
    paths = [*save(draw(card), spectrum_table(card), folder, card.name)]
    copies, facts = folder / f"{card.name}_copies.csv", folder / f"{card.name}.json"
    write_bytes(copies, copies_table(card).to_csv(index=False, lineterminator="\n").encode(), durable=False)
    write_bytes(facts, (json.dumps(facts_of(card), indent=1) + "\n").encode(), durable=False)
    return [*paths, copies, facts]


def spectrum_table(card: DataCard) -> pd.DataFrame:
    """direction (from 1), eigenvalue (pixels squared), share of the variance up to there."""
    share = np.cumsum(card.spectrum) / card.spectrum.sum()
    return pd.DataFrame({"direction": np.arange(1, len(share) + 1), "eigenvalue": card.spectrum, "share": share})


def copies_table(card: DataCard) -> pd.DataFrame:
    """kind, copy, of (places in the fixed order), distance (pixels): one row for each copy."""
    rows = [("exact", *pair) for pair in card.exact] + [("near", *pair) for pair in card.near]
    return pd.DataFrame(rows, columns=["kind", "copy", "of", "distance"])


def facts_of(card: DataCard) -> dict[str, Any]:
    """Every number of the card but the spectrum and the pairs, which have tables."""
    null = card.null
    return {
        "name": card.name,
        "images": card.count,
        "held_out": card.test_count,
        "shape": list(card.shape),
        "sha256": card.sha256,
        "source": card.source,
        "licence": card.licence,
        "classes": card.classes,
        "copies_taken_out": card.removed,
        "copies_exact": len(card.exact),
        "copies_near": len(card.near),
        "directions_90": card.directions(0.9),
        "directions_99": card.directions(0.99),
        "effective_dimension": card.effective_dimension,
        "null": {"n": null.n, "held_out": null.held_out, "f_mem": null.f_mem, "p_train": null.p_train},
    }


@styled
def draw(card: DataCard) -> Figure:
    """Images above; below them the mean image, copies (each over what it is a copy of) if any, and the spectrum."""
    images = len(card.shape) == 3
    montage = images and len(card.examples) > 0
    figure = Figure(figsize=(9, 4.9 if montage else 2.8), layout="constrained")
    below: Any = figure
    if montage:
        parts: Any = figure.subfigures(2, 1, height_ratios=[1.55, 2.4])
        above, below = parts
        _montage(above.subplots(), card.examples, "the first images of the fixed order")
    ratios = [1] * images + [2.3] * bool(len(card.pictures)) + [2.1]
    *others, values = below.subplots(1, len(ratios), width_ratios=ratios, squeeze=False)[0]
    if images:
        _montage(others[0], card.mean, "mean image")
    for axes in others[1:]:
        _pairs(axes, card)
    _spectrum(values, card)
    shape = " × ".join(map(str, card.shape))
    figure.suptitle(f"{literal(card.name)}: {card.count:,} of {shape}, {card.test_count:,} held out", fontweight="bold")
    null = card.null
    words = (
        f"copies: {len(card.exact)} exact, {len(card.near)} near;   null at n = {null.n:,}: "
        f"$f_\\mathrm{{mem}}$ {null.f_mem[0]:.4f}, $p_\\mathrm{{train}}$ {null.p_train[0]:.3f}\n"
        f"licence: {literal(card.licence)}"
    )
    figure.supxlabel(words, fontsize=8.5, color=MUTED)
    return figure


def _canvas(images: np.ndarray, columns: int) -> np.ndarray:
    """Images [m, C, H, W] side by side on white, [rows, columns, 3]; of other than 1 or 3 channels, the first."""
    shown = images if images.shape[1] in (1, 3) else images[:, :1]
    _, _, height, width = shown.shape
    gap = max(1, round(0.06 * width))
    rows = -(-len(shown) // columns)
    canvas = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), np.float32)
    for place, image in enumerate(np.clip(shown, 0, 1)):
        top, left = (place // columns) * (height + gap), (place % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = np.moveaxis(image, 0, -1)
    return canvas


def _montage(axes: Axes, images: np.ndarray, title: str) -> None:
    axes.imshow(_canvas(images, min(COLUMNS, len(images))), interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize=9.5, fontweight="normal")


def _pairs(axes: Axes, card: DataCard) -> None:
    axes.set_axis_off()
    axes.set_title("copies, above what they copy", fontsize=9.5, fontweight="normal")
    ordered = np.concatenate([card.pictures[:, 0], card.pictures[:, 1]])
    axes.imshow(_canvas(ordered, len(card.pictures)), interpolation="nearest")


def _spectrum(axes: Axes, card: DataCard) -> None:
    """Eigenvalues on log axes, and where 90% of the variance ends."""
    table = spectrum_table(card)
    axes.plot(table["direction"], table["eigenvalue"], color=GENERALIZE)
    ninety = card.directions(0.9)
    axes.axvline(ninety, color=MEMORIZE, linewidth=1.2, linestyle=(0, (4, 2)))
    axes.annotate(
        f"90% of the variance\nin {ninety} directions",
        (ninety, 0.04),
        (-4 if ninety > len(table) ** 0.5 else 4, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right" if ninety > len(table) ** 0.5 else "left",
        va="bottom",
        fontsize=8,
        color=MEMORIZE,
    )
    axes.set(xscale="log", yscale="log", xlabel="direction", ylabel="eigenvalue (pixels²)")
    axes.set_title(f"spectrum, effective dimension {card.effective_dimension:.1f}", fontsize=9.5, fontweight="normal")
    top = float(table["eigenvalue"].iloc[0])
    axes.set_ylim(max(float(table["eigenvalue"].min()), top * 1e-7), top * 2)
    drawing.log_ticks(axes.xaxis, 1, len(table))
