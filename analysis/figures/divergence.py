"""KL(true density || model's) along training, on the Gaussian mixture, whose density is known.

It falls while the model learns the population, and rises as its density gathers at single training points.
"""

import pandas as pd
from matplotlib.figure import Figure

from . import drawing
from .curves import KEYS, checked
from .drawing import STEP, styled
from .files import Picture
from .material import Material

COLUMNS = ["kl", "kl_se", "kl_error"]


def draw(material: Material) -> Picture | None:
    """The figure `divergence`, where it was measured."""
    table = divergence_curves(material.rows)
    return Picture(divergence(table), table) if len(table) else None


def divergence_curves(rows: pd.DataFrame) -> pd.DataFrame:
    """KL in nats with its two errors, one row for each run and step."""
    table = checked(rows)
    if "kl" not in table:
        return pd.DataFrame(columns=[*KEYS, "step", *COLUMNS])
    return table[[*KEYS, "step", *COLUMNS]].dropna(subset="kl").reset_index(drop=True)


@styled
def divergence(table: pd.DataFrame) -> Figure:
    """KL against τ, a colour for each n; bands are 95% intervals over the points, widened by the solver's error."""
    figure = Figure(figsize=(7.4, 4.4), layout="constrained")
    axes = figure.subplots()
    colours, zero = drawing.colours(table["n"]), drawing.zero_place(table["step"])
    for _, curve in table.groupby("run", sort=False):
        colour, x = colours[curve["n"].iloc[0]], drawing.placed(curve["step"], zero)
        axes.plot(x, curve["kl"], color=colour, linewidth=1.6)
        half = 1.96 * curve["kl_se"] + curve["kl_error"]
        axes.fill_between(x, curve["kl"] - half, curve["kl"] + half, color=colour, alpha=0.18, linewidth=0)
    axes.set_yscale("log")
    axes.set_ylim(max(float(table["kl"].min()) / 2, 1e-3), 2 * float(table["kl"].max()))
    axes.set_ylabel("KL(true density || model's), nats")
    axes.set_xlabel(STEP)
    drawing.time_axis(axes, table["step"])
    drawing.log_ticks(axes.yaxis, *axes.get_ylim())
    drawing.key(figure, table, [])
    return figure
