"""The pictures of docs/definitions.md, drawn from the tables in docs/data: `python -m docs.make.pictures`.

Each shows one word on real runs: fourteen on 8x8 digits (digits_law.csv), of which n = 256 with seed 0 stands alone.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from diffmem.analysis import pipeline
from diffmem.analysis.figures.drawing import COPY, GENERALIZE, LEAN, MEMORIZE, MUTED, STEP, styled
from diffmem.definitions import THETA, THETA_BIAS, TRIVIAL

DOCS = Path(__file__).resolve().parents[1]
SHOWN = {"n": 256, "seed": 0}
WORDS = {
    "mean_image": "mean image",
    "average": "average of two",
    "gaussian": "Gaussian",
    "independent": "independent pixels",
    "copies": "copies of its 256 images",
    "real": "real images",
}


def main(folder: Path) -> list[Path]:
    """Draw all of them into `folder`; returns the files."""
    fitted = pipeline.fit(DOCS / "data" / "digits_law.csv")
    rows, times = fitted.family.rows, fitted.times
    one = rows[np.logical_and.reduce([rows[name] == value for name, value in SHOWN.items()])]
    time = times.set_index("run").loc[one["run"].iloc[0]]
    figures = {
        "ratio": ratio(),
        "f_mem": share(one, time, "f_mem", "tau_mem", THETA, MEMORIZE, "share of copies"),
        "p_train": share(one, time, "p_train", "tau_bias", THETA_BIAS, LEAN, "closer to training images"),
        "quality": quality(one, time),
        "window": window(one, time),
        "censoring": censoring(times),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})
    return [folder / f"{name}.png" for name in figures]


@styled
def ratio() -> Figure:
    """d1/d2 of a copy and of a sample that is none, as points of the plane."""
    figure = Figure(figsize=(7.6, 3.2), layout="constrained")
    train = np.array([[0.0, 0.0], [2.0, 0.3], [0.9, 1.7], [-1.2, 1.2], [2.6, 1.9]])
    for axes, sample in zip(figure.subplots(1, 2), np.array([[0.35, 0.3], [1.0, 0.75]]), strict=True):
        distance = np.linalg.norm(train - sample, axis=1)
        first, second = np.argsort(distance)[:2]
        value = distance[first] / distance[second]
        colour = COPY if value < 1 / 3 else GENERALIZE
        axes.scatter(*train.T, color=MUTED, s=60, label="training images")
        axes.scatter(*sample, color=colour, marker="*", s=180, label="a sample", zorder=3)
        for place, name in ((first, "$d_1$"), (second, "$d_2$")):
            axes.plot(*np.array([sample, train[place]]).T, color=colour, linewidth=1.2)
            axes.annotate(name, (sample + train[place]) / 2, xytext=(6, -10), textcoords="offset points")
        axes.add_patch(Circle(train[first], distance[second] / 3, fill=False, linestyle=":", color=MUTED))
        axes.set_title(f"$d_1/d_2$ = {value:.2f}: " + ("a copy" if value < 1 / 3 else "none"))
        axes.set_aspect("equal")
        axes.set(xticks=[], yticks=[], xlim=(-1.7, 3.1), ylim=(-0.6, 2.3))
    axes.legend(loc="lower right", fontsize=8)
    return figure


@styled
def share(
    one: pd.DataFrame, time: pd.Series, name: str, tau: str, theta: float, colour: str, word: str
) -> Figure:  # fmt: skip
    """A share with its interval and null, the level that it must pass, and the time read off."""
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.subplots()
    rows = _after_start(one)
    null = float(rows[f"{name}_null"].iloc[0])
    level = null + theta * (1 - null)
    _band(axes, rows, name, colour)
    axes.axhline(null, linestyle=":", color=MUTED)
    axes.axhline(level, linestyle="--", color=MUTED, linewidth=1)
    _mark(axes, time, tau, level, colour)
    left = rows["step"].min()
    for height, words in ((null, f"null {null:.3f}"), (level, f"level: null + {theta} (1 - null) = {level:.3f}")):
        axes.annotate(words, (left, height), xytext=(0, 3), textcoords="offset points", fontsize=8, color=MUTED)
    axes.set(xscale="log", xlabel=STEP, ylabel=f"{name}: {word}")
    axes.set_title(f"{tau} = {time[tau]:,.0f} steps [{_end(time[f'{tau}_low'])}, {_end(time[f'{tau}_high'])}]")
    return figure


@styled
def quality(one: pd.DataFrame, time: pd.Series) -> Figure:
    """The kernel distance, its bookends, the level, and tau_gen."""
    figure = Figure(figsize=(7.6, 4.2), layout="constrained")
    axes = figure.subplots()
    rows = _after_start(one)
    axes.plot(rows["step"], rows["mmd_pixels"], color=GENERALIZE, marker="o", markersize=3)
    for name, words in WORDS.items():
        value = float(rows[f"mmd_pixels@{name}"].iloc[0])
        style: dict[str, Any] = {"color": COPY if name == "copies" else MUTED, "linewidth": 1}
        axes.axhline(max(value, 0.3), linestyle="-" if name in TRIVIAL else ":", **style)
        place = (1.005, max(value, 0.3))
        axes.annotate(f"{words} {value:.3g}", place, xycoords=("axes fraction", "data"), fontsize=8, va="center")
    axes.axhline(time["level"], linestyle="--", color=GENERALIZE, linewidth=1)
    _mark(axes, time, "tau_gen", time["level"], GENERALIZE)
    axes.set(xscale="log", yscale="log", ylim=(0.25, 600), xlabel=STEP, ylabel="kernel distance x 1000")
    axes.set_title(f"tau_gen = {time['tau_gen']:,.0f} steps, at level {time['level']:.1f}")
    return figure


@styled
def window(one: pd.DataFrame, time: pd.Series) -> Figure:
    """The three curves of one run above each other, the window shaded."""
    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    rows = _after_start(one)
    panels = (("mmd_pixels", "tau_gen", GENERALIZE), ("p_train", "tau_bias", LEAN), ("f_mem", "tau_mem", MEMORIZE))
    for axes, (name, tau, colour) in zip(figure.subplots(3, 1, sharex=True), panels, strict=True):
        _band(axes, rows, name, colour)
        axes.axvspan(time["tau_gen"], time["tau_bias"], color=GENERALIZE, alpha=0.12)
        axes.axvline(time[tau], color=colour, linewidth=1.5)
        axes.annotate(f" {tau}", (time[tau], 0.85), xycoords=("data", "axes fraction"), color=colour, fontsize=9)
        axes.set(xscale="log", ylabel=name, yscale="log" if name == "mmd_pixels" else "linear")
    axes.set_xlabel(STEP)
    figure.suptitle("shaded: good samples that do not lean yet")
    return figure


@styled
def censoring(times: pd.DataFrame) -> Figure:
    """tau_gen of all runs against n: reached, or not by the last step that counts."""
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.subplots()
    reached = times["tau_gen_status"] == "reached"
    axes.scatter(times.loc[reached, "n"], times.loc[reached, "tau_gen"], color=GENERALIZE, label="reached", zorder=3)
    open_marks = times[~reached]
    style: dict[str, Any] = {
        "facecolors": "none",
        "edgecolors": GENERALIZE,
        "linewidths": 1.5,
        "label": "not reached by this step",
    }
    axes.scatter(open_marks["n"], open_marks["tau_gen_last_step"], **style)
    for n, last in zip(open_marks["n"], open_marks["tau_gen_last_step"], strict=True):
        arrow = {"arrowstyle": "->", "color": GENERALIZE, "linewidth": 1.2}
        axes.annotate("", (n, 1.45 * last), (n, 1.08 * last), arrowprops=arrow)
    axes.set(xscale="log", yscale="log", xlabel="training images n", ylabel="tau_gen (steps)", ylim=(300, 5000))
    axes.set_xticks(sorted(times["n"].unique()), [str(n) for n in sorted(times["n"].unique())])
    axes.set_yticks([300, 500, 1000, 2000, 4000], ["300", "500", "1,000", "2,000", "4,000"])
    axes.minorticks_off()
    axes.legend(loc="upper right")
    return figure


def _after_start(rows: pd.DataFrame) -> pd.DataFrame:
    """Without step 0, which has no place on a log axis."""
    return rows[rows["step"] > 0].sort_values("step")


def _band(axes: Axes, rows: pd.DataFrame, name: str, colour: str) -> None:
    axes.plot(rows["step"], rows[name], color=colour, marker="o", markersize=3)
    axes.fill_between(rows["step"], rows[f"{name}_low"], rows[f"{name}_high"], color=colour, alpha=0.18, linewidth=0)


def _mark(axes: Axes, time: pd.Series, tau: str, level: float, colour: str) -> None:
    """The time at its level, with its interval."""
    low, high = time[f"{tau}_low"], time[f"{tau}_high"]
    axes.hlines(level, low, high if np.isfinite(high) else axes.get_xlim()[1], color=colour, linewidth=4, alpha=0.5)
    axes.plot([time[tau]], [level], marker="D", color=colour, markersize=8, zorder=4)


def _end(value: float) -> str:
    return f"{value:,.0f}" if np.isfinite(value) else "∞"


if __name__ == "__main__":
    for made in main(Path(sys.argv[1]) if sys.argv[1:] else DOCS / "assets" / "definitions"):
        print(made)
