"""p_train beside f_mem along training: samples lean towards the training images long before they are copies."""

import pandas as pd
from matplotlib.figure import Figure

from . import drawing
from .curves import SHARES, TIME_OF, curves, measure_axis, measure_curves
from .drawing import STEP, styled
from .files import Picture
from .material import Material

TITLES = {"p_train": "first samples lean", "f_mem": "then they are copies"}


def draw(material: Material) -> Picture | None:
    """The figure `bias_and_memorization`, where p_train was measured."""
    table = curves(material.rows, material.quality)
    if "p_train" not in table:
        return None
    return Picture(bias_and_memorization(material.rows, material.times, material.quality), table)


@styled
def bias_and_memorization(rows: pd.DataFrame, times: pd.DataFrame, quality: str | None = None) -> Figure:
    """p_train and f_mem against τ, side by side, each with its interval, its null and its time."""
    table = curves(rows, quality)
    shown = [name for name in TITLES if name in table]
    if "p_train" not in shown:
        return drawing.message("p_train was not measured in these runs")
    figure = Figure(figsize=(5.2 * len(shown), 4.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        measure_curves(axes, table, name, "step", times)
        measure_axis(axes, table, name)
        axes.set(title=TITLES[name], xlabel=STEP, ylabel=SHARES[name])
    drawing.key(figure, table, [drawing.time_handle(TIME_OF[name]) for name in shown])
    return figure
