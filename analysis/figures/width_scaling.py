"""f_mem against W τ/n and quality against W τ, where the study finds that they fall together over widths as well."""

import pandas as pd
from matplotlib.figure import Figure

from . import drawing
from .curves import TIME_OF, curves, measure_axis, measure_curves
from .drawing import styled
from .files import Picture
from .material import Material


def draw(material: Material) -> Picture | None:
    """The figure `width_scaling`, where f_mem or quality was measured at several widths."""
    table = curves(material.rows, material.quality)
    if not {"f_mem", "quality"} & set(table) or table["width"].nunique() < 2:
        return None
    return Picture(width_scaling(material.rows, material.times, material.quality), table)


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
            measure_curves(axes, table, name, x, times)
            axes.set_xlabel(f"{text} (optimizer steps{' per training image' if name == 'f_mem' else ''})")
        measure_axis(panels[0], table, name)
    for axes, title in zip(grid[0], ("as trained", "with training time multiplied by the width"), strict=True):
        axes.set_title(title)
    drawing.key(figure, table, [drawing.time_handle(TIME_OF[name]) for name in shown])
    return figure
