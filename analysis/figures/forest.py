"""Interventions side by side: the effect of each, with its interval, on when, how wide, and at what price.

A panel an estimand, a row an arm; filled where Holm's p-value is below 0.05. The placebo stands below a line.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..laws.interventions import PLACEBO, TIMES
from .drawing import COLOURS, LEAN, MUTED, log_ticks, message, styled
from .files import Picture

TITLES = {
    "tau_gen": "later?\n$\\tau_{gen}$, times the control's",
    "window": "wider?\n$\\tau_{bias}/\\tau_{gen}$, times the control's",
    "p_train": "better at equal quality?\n$p_{train}$ less the control's",
    "gap": "better at equal test loss?\ngap of losses less the control's",
}
SHADE = {"tau_gen": COLOURS["tau_gen"], "window": MUTED, "p_train": LEAN, "gap": LEAN}
SIGNIFICANT = 0.05


def forest(table: pd.DataFrame) -> Picture:
    """`table` is that of `laws.interventions.effects`; the picture's has times as ratios."""
    ratios = as_ratios(table)
    known = ratios[ratios["effect"].notna() | ratios["bound"].notna()]
    shown = [name for name in TITLES if (known["estimand"] == name).any()]
    figure = _draw(known, shown) if shown else message("no arm has two pairs of runs: an effect needs replicates")
    return Picture(figure, ratios)


def as_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """The effects on times as ratios to the control's, the others as they are."""
    columns = ["effect", "low", "high", "own_low", "own_high", "bound"]
    found = table.copy()
    found.loc[found["estimand"].isin(TIMES), columns] = np.exp(found.loc[found["estimand"].isin(TIMES), columns])
    return found


@styled
def _draw(table: pd.DataFrame, shown: list[str]) -> Figure:
    arms = [arm for arm in dict.fromkeys(table["arm"]) if arm != PLACEBO]
    rows = [*arms, *([PLACEBO] if PLACEBO in set(table["arm"]) else [])]
    figure = Figure(figsize=(1.6 + 2.9 * len(shown), 1.7 + 0.34 * len(rows)), layout="constrained")
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, estimand in zip(panels, shown, strict=True):
        _panel(axes, table[table["estimand"] == estimand].set_index("arm").reindex(rows), estimand)
    words = [f"{arm.replace('_', ' ')}{' (nothing changed)' if arm == PLACEBO else ''}" for arm in rows]
    panels[0].set(yticks=range(len(rows)), yticklabels=words, ylim=(len(rows) - 0.5, -0.5))
    marks = [
        ("o", MUTED, "after Holm's correction"),
        ("o", "white", "not told from no effect"),
        (">", "white", "at least"),
    ]
    handles = [
        Line2D([], [], linestyle="none", marker=marker, color=MUTED, markerfacecolor=face, label=label)
        for marker, face, label in marks
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, estimand: str) -> None:
    ratio = estimand in TIMES
    axes.axvline(1 if ratio else 0, color=MUTED, linewidth=1)
    if PLACEBO in rows.index and len(rows) > 1:
        axes.axhline(len(rows) - 1.5, color=MUTED, linewidth=0.6, linestyle=":")
    for place, (arm, row) in enumerate(rows.iterrows()):
        shade = MUTED if arm == PLACEBO else SHADE[estimand]
        style: dict[str, Any] = {
            "color": shade,
            "markerfacecolor": shade if row["p_holm"] < SIGNIFICANT else "white",
            "markersize": 6,
        }
        axes.plot([row["low"], row["high"]], [place, place], color=shade, linewidth=1.6)
        axes.plot(row["effect"], place, "o", **style)
        axes.plot(row["bound"], place, ">", **style)
    axes.set_title(TITLES[estimand], fontsize=9.5)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    if ratio:
        axes.set_xscale("log")
        log_ticks(axes.xaxis, *axes.get_xlim())
