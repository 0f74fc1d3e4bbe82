"""The figure of the least error of the score against the number of points: `diffmem theory score_error`.

Letters: E_score = E‖s_A - s_true‖²/d, τ training time in units of the model, ψ_n = n/d.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from . import drawing
from .drawing import GENERALIZE, MUTED, styled
from .theory import TAU

PUBLISHED = 0.59  # the study's exponent


@styled
def score_error(table: pd.DataFrame, facts: Mapping[str, Any]) -> Figure:
    """E_score against τ for every ψ_n (lines the limit, points simulated), and its least value against ψ_n."""
    figure = Figure(figsize=(10.4, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    colours = drawing.colours(table["psi_n"])
    for psi_n, part in table.groupby("psi_n"):
        colour = colours[psi_n]  # type: ignore[index]
        limit, simulated = (part[part["kind"] == kind] for kind in ("limit", "simulation"))
        left.plot(limit["tau"], limit["score_error"], color=colour, label=rf"$\psi_n = {psi_n:g}$")
        left.plot(simulated["tau"].iloc[::3], simulated["score_error"].iloc[::3], ".", color=colour, markersize=3.5)
    best = pd.DataFrame(facts["best"])
    left.plot(best["tau"], best["score_error"], "v", color=MUTED, markersize=5, markerfacecolor="white", zorder=5)
    left.set(xscale="log", yscale="log", xlabel=TAU, ylabel=r"$E_{score}$")
    left.set_ylim(0.5 * float(best["score_error"].min()), 2.0)
    left.set_xlim(float(table["tau"].min()), float(table["tau"].max()))
    left.legend(loc="lower left")
    for kind, marker, words in (("limit", "o", "limit"), ("simulation", "x", f"simulated, d = {facts['d']}")):
        of_kind, power = best[best["kind"] == kind], facts["powers"][kind]
        if power is None:
            continue
        label = f"{words}: {power['exponent']:.2f} [{power['low']:.2f}, {power['high']:.2f}]"
        right.plot(of_kind["psi_n"], of_kind["score_error"], marker, color=GENERALIZE, markersize=6, label=label)
        x = np.array([best["psi_n"].min(), best["psi_n"].max()])
        middle = np.exp(np.log(of_kind[["psi_n", "score_error"]]).mean())
        right.plot(x, middle["score_error"] * (x / middle["psi_n"]) ** power["exponent"], color=GENERALIZE, linewidth=1)
        published = middle["score_error"] * (x / middle["psi_n"]) ** -PUBLISHED
        right.plot(x, published, "--", color=MUTED, label=f"published: {-PUBLISHED}" if kind == "limit" else None)
    right.set(xscale="log", yscale="log", xlabel=r"$\psi_n = n/d$", ylabel=r"least $E_{score}$")
    right.legend(loc="lower left", title="exponent of $\\psi_n$")
    drawing.n_axis(right.xaxis, sorted(set(best["psi_n"])))
    for axes in (left, right):
        drawing.log_ticks(axes.yaxis, *axes.get_ylim())
    drawing.log_ticks(left.xaxis, *left.get_xlim())
    settings = facts["settings"]
    left.set_title(rf"$\psi_p$ = {settings['psi_p']:g}, $t$ = {settings['t']:g}; ▽ the least")
    return figure
