"""f_mem and quality along training: against τ, and against τ/n, where τ_mem ∝ n makes f_mem fall together."""

import pandas as pd
from matplotlib.figure import Figure

from . import drawing
from .curves import NAMES, TIME_OF, curves, measure_axis, measure_curves
from .drawing import MUTED, STEP, styled
from .files import Picture
from .material import Material

STEP_PER_N = r"$\tau / n$ (optimizer steps per training image)"


def draw_both(material: Material) -> Picture | None:
    """The figure `memorization_and_quality`, where either was measured."""
    table = curves(material.rows, material.quality)
    if not {"f_mem", "quality"} & set(table):
        return None
    return Picture(memorization_and_quality(material.rows, material.times, material.quality), table)


def draw_per_n(material: Material) -> Picture | None:
    """The figure `fmem_vs_step_per_n`, where f_mem was measured."""
    table = curves(material.rows, material.quality)
    return Picture(fmem_vs_step_per_n(material.rows, material.quality), table) if "f_mem" in table else None


@styled
def memorization_and_quality(rows: pd.DataFrame, times: pd.DataFrame, quality: str | None = None) -> Figure:
    """f_mem (Wilson band) and quality (its interval), against τ on the left and against τ/n on the right.

    τ_mem is marked on the f_mem curves and τ_gen on those of quality. A measure that the table lacks is left out,
    and the figure says so.
    """
    table = curves(rows, quality)
    shown = [name for name in NAMES if name in table]
    if not shown:
        return drawing.message("no samples were measured: the table holds neither f_mem nor a measure of quality")
    figure = Figure(figsize=(10, 1.3 + 2.8 * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), 2, sharex="col", sharey="row", squeeze=False)
    for panels, name in zip(grid, shown, strict=True):
        for axes, per_n in zip(panels, (False, True), strict=True):
            measure_curves(axes, table, name, "step_per_n" if per_n else "step", times)
        measure_axis(panels[0], table, name)
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
def fmem_vs_step_per_n(rows: pd.DataFrame, quality: str | None = None) -> Figure:
    """f_mem against τ/n: where τ_mem ∝ n, the curves of all n fall together."""
    table = curves(rows, quality)
    if "f_mem" not in table:
        return drawing.message("f_mem was not measured in these runs")
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.subplots()
    measure_curves(axes, table, "f_mem", "step_per_n")
    measure_axis(axes, table, "f_mem")
    axes.set_xlabel(STEP_PER_N)
    drawing.key(figure, table, [])
    return figure
