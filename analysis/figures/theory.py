"""Figures of the theory, from the tables that `diffmem theory` computes. Nothing is computed here.

Letters: λ an eigenvalue of U, τ training time in units of the model, ψ_n = n/d, ψ_p = p/d.
"""

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from diffmem.files import write_bytes

from . import drawing
from .drawing import COLOURS, GENERALIZE, MEMORIZE, MUTED, SYMBOLS, styled
from .files import save

TAU = r"training time $\tau$ (units of the model)"
PARTS = {"low": ("#7a8594", "$W$ alone"), "bulk1": (MEMORIZE, "memorization"), "bulk2": (GENERALIZE, "generalization")}
FEW_POINTS = r"training points ($n < d$)"  # what bulk2 is then: it relaxes while the test loss rises


def write(figure: Figure, table: pd.DataFrame, facts: Mapping[str, Any], folder: str | Path, name: str) -> list[Path]:
    """Write `figure` as PNG and SVG with its table as CSV and its facts as JSON into `folder`; returns the paths."""
    paths = save(figure, table, folder, name)
    facts_path = Path(folder) / f"{name}.json"
    write_bytes(facts_path, (json.dumps(facts, indent=1) + "\n").encode(), durable=False)
    return [*paths, facts_path]


@styled
def spectrum(table: pd.DataFrame, facts: Mapping[str, Any]) -> Figure:
    """λρ(λ) on a log axis, so that equal areas are equal numbers of eigenvalues: the limit over simulated bars."""
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    axes = figure.subplots()
    bars = table[table["kind"] == "simulation"]
    width = bars["high"] - bars["low"]
    height = bars["density"] * np.sqrt(bars["low"] * bars["high"])
    axes.bar(bars["low"], height, width, align="edge", color="#cdd3db", edgecolor="white", linewidth=0.4, zorder=1)
    curve = table[table["kind"] == "density"]
    top = float((curve["high"] * curve["density"]).max())
    labels = []
    for band in table[table["kind"] == "band"].to_dict("records"):
        line = curve[(curve["low"] >= band["low"]) & (curve["low"] <= band["high"])]
        names = str(band["part"]).split("+")
        colour = PARTS[names[-1]][0]
        axes.plot(line["low"], line["low"] * line["density"], color=colour, linewidth=2.2, zorder=3)
        text = " + ".join(_part(name, facts) for name in names) + f"\n{100 * band['density']:.3g}% of eigenvalues"
        style: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 9, "fontweight": "bold", "zorder": 5}
        labels.append(axes.text(float(np.sqrt(band["low"] * band["high"])), 0.0, text, color=colour, **style))
    atom = facts["atom"]
    fixed: list[Text] = []
    if atom["mass"]:
        arrow = axes.annotate(
            f"atom, {100 * atom['mass']:.3g}%",
            (atom["location"], 0),
            (atom["location"] / 1.25, 0.45 * top),
            ha="right",
            color=MUTED,
            arrowprops={"arrowstyle": "-|>", "color": MUTED, "linewidth": 2},
        )
        fixed.append(arrow)
    axes.set(
        xscale="log", xlabel=r"eigenvalue $\lambda$ of $U$", ylabel=r"density in $\log\lambda$: $\lambda\rho(\lambda)$"
    )
    low, high = min(atom["location"], float(curve["low"].min())) / 6, float(curve["high"].max()) * 1.6
    axes.set_xlim(low, high)
    drawing.log_ticks(axes.xaxis, low, high)
    handles = [Line2D([], [], color=MUTED, linewidth=2.2, label="limit")]
    if len(bars):
        handles.append(Line2D([], [], color="#cdd3db", linewidth=7, label=_simulated(facts)))
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
    axes.set_title(_model(facts))
    warn(figure, facts)
    heights = pd.concat([curve["low"] * curve["density"], height])
    _stack(axes, labels, fixed, pd.concat([curve["low"], bars["low"]]).to_numpy(), heights.to_numpy(), top)
    return figure


@styled
def curves(table: pd.DataFrame, facts: Mapping[str, Any]) -> Figure:
    """Train and test loss against τ: lines are the limit, points simulated draws; τ_gen and τ_mem are marked."""
    figure = Figure(figsize=(8.4, 4.6), layout="constrained")
    axes = figure.subplots()
    limit = table[table["kind"] == "limit"]
    simulated = table[table["kind"] == "simulation"]
    for split, colour in (("test", GENERALIZE), ("train", MEMORIZE)):
        axes.plot(limit["tau"], limit[split], color=colour, label=f"{split} loss, limit", zorder=3)
        if len(simulated):
            axes.plot(simulated["tau"], simulated[split], "o", color=colour, markersize=4, alpha=0.6, zorder=4)
    _tau_axis(axes, limit["tau"])
    axes.set_ylabel("denoising loss")
    times = sorted((facts[name], name) for name in ("tau_gen", "tau_mem") if facts[name] is not None)
    for place, (tau, name) in enumerate(times):
        axes.axvline(
            tau, color=MUTED, linestyle=(0, (4, 2)) if name == "tau_gen" else (0, (1, 1.5)), linewidth=1.4, zorder=1
        )
        left = place == 0 and len(times) == 2  # the labels stand on the outer sides
        axes.annotate(
            SYMBOLS[name],
            (tau, 1.0),
            (-3 if left else 3, -2),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="right" if left else "left",
            va="top",
            color=MUTED,
            fontsize=11,
        )
    handles, _ = axes.get_legend_handles_labels()
    if len(simulated):
        point: dict[str, Any] = {"color": MUTED, "linestyle": "none", "marker": "o", "markersize": 4}
        handles.append(Line2D([], [], label=_simulated(facts), **point))
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
    axes.set_title(_model(facts), pad=8)
    warn(figure, facts)
    return figure


@styled
def timescales(table: pd.DataFrame, facts: Mapping[str, Any]) -> Figure:
    """τ_gen and τ_mem from the edges against ψ_n: where ψ_p grows with it, and where it is fixed and the law bends."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    settings = facts["settings"]
    ratio = rf"$\psi_p = {settings['psi_p_per_n']:g}\,\psi_n$; {_rest(facts)}"
    titles = (ratio, rf"$\psi_p = {settings['psi_p']:g}$ fixed")
    for axes, family, title in zip(panels, ("ratio", "fixed"), titles, strict=True):
        part = table[table["family"] == family]
        axes.set(xscale="log", yscale="log", xlabel=r"$\psi_n = n/d$")
        axes.set_title(title)
        for name, marker in (("tau_mem", "D"), ("tau_gen", "o")):
            axes.plot(part["psi_n"], part[name], marker + "-", color=COLOURS[name], markersize=6, zorder=3)
            axes.plot(
                part["psi_n"], part[f"{name}_loss"], marker, color=COLOURS[name], markerfacecolor="white", zorder=2
            )
        axes.plot(part["psi_n"], part["tau_mem_closed"], "--", color=MUTED, zorder=4, linewidth=1.4)
        drawing.n_axis(axes.xaxis, sorted(part["psi_n"]))
    known = table[table["family"] == "ratio"].dropna(subset="tau_mem")
    if facts["slopes"]["tau_mem"] is not None:
        end = known.iloc[-1]
        panels[0].annotate(
            f"slope {facts['slopes']['tau_mem']:.2f}",
            (end["psi_n"], end["tau_mem"]),
            (-10, -2),
            textcoords="offset points",
            ha="right",
            va="bottom",
            color=MEMORIZE,
            fontweight="bold",
            fontsize=12,
        )
    panels[0].set_ylabel(TAU)
    drawing.log_ticks(panels[0].yaxis, *panels[0].get_ylim())
    handles = [
        Line2D([], [], color=COLOURS[name], marker=marker, label=f"{SYMBOLS[name]} from the edge")
        for name, marker in (("tau_mem", "D"), ("tau_gen", "o"))
    ]
    handles.append(Line2D([], [], color=MUTED, linestyle="--", label=r"closed form of bulk 1"))
    handles.append(
        Line2D(
            [], [], color=MUTED, linestyle="none", marker="o", markerfacecolor="white", label="open: from the losses"
        )
    )
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
    warn(figure, facts)
    return figure


@styled
def predict(table: pd.DataFrame, facts: Mapping[str, Any]) -> Figure:
    """Predicted losses against τ for every n (solid test, dashed train), and τ_gen and τ_mem against n."""
    figure = Figure(figsize=(10.4, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    colours = drawing.colours(table["n"])
    for n, part in table.groupby("n"):
        colour = colours[n]  # type: ignore[index]
        left.plot(part["tau"], part["test"], color=colour)
        left.plot(part["tau"], part["train"], color=colour, linestyle=(0, (3, 1.6)), linewidth=1.3)
    _tau_axis(left, table["tau"])
    left.set_ylim(0, 1.15 * min(float(table["test"].max()), 3.0))
    left.set_ylabel("denoising loss: test solid, train dashed")
    settings = facts["settings"]
    left.set_title(f"predicted on {settings['data']['name']}, $d$ = {facts['d']}, $t$ = {settings['t']:g}")
    times = table.groupby("n", as_index=False)[["tau_gen", "tau_mem"]].first()
    for name, marker in (("tau_mem", "D"), ("tau_gen", "o")):
        right.plot(times["n"], times[name], marker + "-", color=COLOURS[name], label=SYMBOLS[name])
    right.set(xscale="log", yscale="log", xlabel="training images $n$", ylabel=TAU)
    for n in times.loc[times["tau_mem"].isna(), "n"]:
        right.text(n, 0.97, "never", transform=right.get_xaxis_transform(), color=MEMORIZE, ha="center", va="top")
    right.set_title("when to stop, from the losses")
    drawing.n_axis(right.xaxis, sorted(times["n"]))
    drawing.log_ticks(right.yaxis, *right.get_ylim())
    right.legend(loc="upper left")
    drawing.key(figure, table.assign(width=np.nan), [])
    warn(figure, facts)
    return figure


def _tau_axis(axes: Axes, tau: pd.Series) -> None:
    axes.set(xscale="log", xlabel=TAU)
    axes.set_xlim(float(tau.min()), float(tau.max()))
    drawing.log_ticks(axes.xaxis, float(tau.min()), float(tau.max()))


def _model(facts: Mapping[str, Any]) -> str:
    s = facts["settings"]
    return rf"$\psi_p$ = {s['psi_p']:g}, $\psi_n$ = {s['psi_n']:g}, {_rest(facts)}"


def _rest(facts: Mapping[str, Any]) -> str:
    """The diffusion time, the activation and the covariance."""
    s = facts["settings"]
    covariance = {
        "isotropic": "isotropic",
        "levels": "eigenvalues " + ", ".join(f"{value:g}" for value in s["eigenvalues"][:4]),
        "power_law": f"power law {s['exponent']:g} of {s['count']}",
        "data": f"covariance of {s['data']['name']}",
    }[s["covariance"]]
    return rf"$t$ = {s['t']:g}, {s['activation']}, {covariance}"


def _part(name: str, facts: Mapping[str, Any]) -> str:
    return FEW_POINTS if name == "bulk2" and facts["settings"]["psi_n"] < 1 else PARTS[name][1]


def _simulated(facts: Mapping[str, Any]) -> str:
    """What the simulated draws are, with their seeds."""
    s = facts["settings"]
    first, last = s["seed"], s["seed"] + s["draws"] - 1
    seeds = f"seed {first}" if first == last else f"seeds {first} to {last}"
    return {"sampled": "sampled features", "gaussian": "Gaussian equivalent"}[s["features"]] + f", {seeds}"


def warn(figure: Figure, facts: Mapping[str, Any]) -> None:
    """What the theory's validity warns of, under the panels."""
    if facts["validity"]["warning"]:
        text = textwrap.fill("Theory: " + facts["validity"]["warning"], int(13 * figure.get_figwidth()))
        figure.supxlabel(text, x=0.01, ha="left", color=drawing.COPY, fontsize=9)


def _stack(axes: Axes, labels: Sequence[Text], fixed: Sequence[Text], x: np.ndarray, y: np.ndarray, top: float) -> None:
    """Set each label of `labels` above what is drawn at (x, y) across its width, and above the labels before it."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    for room in (1.3, 1.6, 2.0, 2.6):  # of the axis, until all labels fit
        axes.set_ylim(0, room * top)
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in fixed]
        to_data = axes.transData.inverted().transform
        for label in labels:
            label.set_y(0.0)
            box = label.get_window_extent()
            (low, _), (high, _) = to_data(box.get_points())
            start = float(y[(x >= low) & (x <= high)].max(initial=0.0)) + 0.03 * top
            box = box.translated(0, axes.transData.transform((low, start))[1] - box.y0)
            for other in sorted(boxes, key=lambda one: one.y0):
                if box.overlaps(other):
                    box = box.translated(0, other.y1 + 2 - box.y0)
            label.set_y(to_data((box.x0, box.y0))[1])
            boxes.append(box)
        if max(box.y1 for box in boxes) <= axes.get_window_extent().y1:
            break
