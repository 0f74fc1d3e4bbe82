"""The window in pictures: what the same noise gave at τ_gen, at τ_bias and at τ_mem of one run.

A row is a checkpoint of one run, a column one sample: of those stored, the ones that end nearest to a training image,
so that one sees how a copy comes about. Above: generated; below: its nearest training image.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from diffmem.records import SampleSheet

from ..tables.family import Family
from .drawing import COLOURS, MUTED, SYMBOLS, styled
from .files import Picture
from .material import Material
from .samples import draw_montage, sheet_rows

NAMES = ("tau_gen", "tau_bias", "tau_mem")
WORDS = {"tau_gen": "quality", "tau_bias": "bias", "tau_mem": "memorization"}


def draw(material: Material) -> Picture | None:
    """The figure `window_in_pictures`, where a run reached the three times and stored samples."""
    sheets = material.window
    return Picture(window_in_pictures(sheets), sheet_rows(sheets)) if sheets else None


def window_steps(family: Family, times: pd.DataFrame) -> tuple[Path, list[int]] | None:
    """The run of most n that reached the three times, and the first checkpoints at or after each; None without one."""
    paths = family.runs.dropna(subset="path").set_index("run")["path"]
    have = [name for name in NAMES if f"{name}_status" in times]
    all_reached = (times[[f"{name}_status" for name in have]] == "reached").all(axis=1)
    reached = times[all_reached & times["run"].isin(paths.index)]
    if have != list(NAMES) or reached.empty:
        return None
    entry = reached.sort_values(["n", "width", "run"], kind="stable").iloc[-1]
    steps = family.rows.loc[family.rows["run"] == entry["run"], "step"]
    return Path(paths[entry["run"]]), [int(steps[steps >= entry[name]].min()) for name in NAMES]


@styled
def window_in_pictures(sheets: Sequence[SampleSheet]) -> Figure:
    """`sheets` are those of one run at τ_gen, τ_bias and τ_mem, of the same samples; rows come in the order of time."""
    figure = Figure(figsize=(0.5 + 0.62 * len(sheets[0].ratio), 5.6), layout="constrained")
    rows = sorted(zip(NAMES, sheets, strict=True), key=lambda row: row[1].step)
    for axes, (name, sheet) in zip(figure.subplots(len(rows), 1), rows, strict=True):
        axes.set_axis_off()
        draw_montage(axes, sheet)
        title = f"{WORDS[name]} ({SYMBOLS[name]}): step {sheet.step:,}"
        axes.set_title(title, loc="left", color=COLOURS[name], fontsize=10, fontweight="bold")
    figure.supxlabel(
        f"n = {sheets[0].n:,}; above: generated, below: its nearest training image", color=MUTED, fontsize=9
    )
    return figure
