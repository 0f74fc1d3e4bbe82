"""Laws in figures: their lines, their words with intervals, the window between two of them, labels at their ends."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from scipy.special import stdtrit

from ..laws.family import bends
from .drawing import MUTED, SYMBOLS, literal

WORDS = {"tau_gen": "quality", "tau_bias": "bias", "tau_mem": "memorization"}


def law(fit: Mapping[str, Any], n: np.ndarray, width: np.ndarray) -> np.ndarray:
    """exp(log C) n^α W^β; β = 0 where the law has none."""
    beta = fit.get("beta")
    scale = np.zeros(len(n)) if beta is None or not np.isfinite(beta) else beta * np.log(width)
    return np.exp(fit["log_c"] + fit["alpha"] * np.log(n) + scale)


def band(fit: Mapping[str, Any], n: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The 95% confidence band of the law's line at n [N] and W [N]; None where the law does not say how sure it is."""
    covariance = np.array(fit.get("covariance", []), dtype=np.float64)
    if not covariance.size or "dof" not in fit:
        return None
    at = np.column_stack([np.ones(len(n)), np.log(n), np.log(width)])[:, : len(covariance)]
    half = stdtrit(fit["dof"], 0.975) * np.sqrt(np.einsum("ni,ij,nj->n", at, covariance, at))
    line = law(fit, n, width)
    return line * np.exp(-half), line * np.exp(half)


def fitted(fit: Mapping[str, Any] | None) -> bool:
    """Whether there is a law to draw: fitted, and not refused."""
    return bool(fit and not fit.get("refused") and {"alpha", "log_c"} <= fit.keys() and np.isfinite(fit["alpha"]))


def law_text(fit: Mapping[str, Any] | None, name: str) -> str:
    """The law in symbols with its intervals, or why there is none."""
    symbol = SYMBOLS[name]
    if not fitted(fit):
        reason = (fit or {}).get("refused") or "not fitted"
        return f"{WORDS[name]}\n{symbol}: no law\n" + textwrap.fill(literal(str(reason)), 24, max_lines=6)
    assert fit is not None
    if bends(fit):
        ends = [rf"$n^{{{end['exponent']:.2f}}}$ at $n$ = {end['n']:.0f}" for end in fit["bend"]["local"]]
        return "\n".join([rf"{symbol} bends", *ends])
    lines = [rf"{symbol} $\propto\ n^{{{fit['alpha']:.2f}}}$"]
    beta = fit.get("beta")
    if beta is not None and np.isfinite(beta):
        lines[0] += rf" $W^{{{beta:.2f}}}$"
    lines.append(rf"$\alpha$ {interval(fit.get('low'), fit.get('high'))}")
    if fit.get("beta_low") is not None:
        lines.append(rf"$\beta$ {interval(fit.get('beta_low'), fit.get('beta_high'))}")
    return "\n".join([WORDS[name], *lines])


def interval(low: Any, high: Any) -> str:
    if low is None or high is None or not np.isfinite([low, high]).all():
        return "without interval"
    return f"in [{low:.2f}, {high:.2f}] (95%)".replace("-", "−")


def window(axes: Axes, n: np.ndarray, start: np.ndarray, end: np.ndarray, note: str) -> None:
    """Shade the training times between `start` and `end` [n], and name the three regions where there is room."""
    axes.fill_between(n, start, end, where=list(end > start), color="#2f9e6e", alpha=0.15, linewidth=0, zorder=1)
    low, high = np.log(axes.get_ylim())
    height = np.nan_to_num(np.log(end / start)) / (high - low)
    place = int(np.argmax(height[:58]))  # clear of the right edge
    if height[place] > 0.12:
        text, align = f"stop here {note}".strip(), "right" if place > 32 else "left"
        middle = float(np.sqrt(start[place] * end[place]))
        style: dict[str, Any] = {"color": "#1d7a53", "fontsize": 12, "fontweight": "bold", "ha": align, "va": "center"}
        halo = [withStroke(linewidth=3, foreground="#e0efe9")]
        axes.text(float(n[place]), middle, text, path_effects=halo, zorder=6, **style)
    for (x, y), text, align in (((0.02, 0.97), "memorizes", "top"), ((0.98, 0.03), "still learning", "bottom")):
        side = "left" if x < 0.5 else "right"
        axes.text(x, y, text, transform=axes.transAxes, color=MUTED, ha=side, va=align)


def end_labels(axes: Axes, labels: Mapping[str, tuple[float, str]]) -> None:
    """Texts (-> height, colour) right of the axes at their heights, moved apart where they would overlap."""
    low, high = np.log(axes.get_ylim())
    ordered = sorted(labels.items(), key=lambda item: item[1][0])
    places = [(np.log(y) - low) / (high - low) for _, (y, _) in ordered]
    need = 0.058 * max(text.count("\n") + 1 for text, _ in ordered)  # of the axes' height, for the tallest text
    for i in [*range(1, len(places))] * len(places):
        if places[i] - places[i - 1] < need:
            middle = np.clip((places[i] + places[i - 1]) / 2, need / 2, 1 - need / 2)
            places[i - 1 : i + 1] = [middle - need / 2, middle + need / 2]
    for place, (text, (_, colour)) in zip(places, ordered, strict=True):
        axes.annotate(text, (1.015, place), xycoords="axes fraction", color=colour, va="center", ha="left")
