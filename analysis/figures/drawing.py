"""The parts that figures share: colours, log axes with a place for 0, curves with bands, marks and labels.

Letters: n training images, W base channels, τ training time in optimizer steps, t diffusion time, f_mem the share of
generated samples that are memorized. Step 0 has no place on a log axis: it stands at the left edge, labelled 0. The
style is set for the length of a call, so a caller's rcParams stay as they are.

One colour for each n (viridis in log n, dark is small), one line style and marker for each W.
"""

import functools
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

P = ParamSpec("P")

STYLE = Path(__file__).with_name("style.mplstyle")
MEMORIZE, GENERALIZE, MUTED, COPY = "#c8500a", "#0b6fae", "#5b6675", "#d0152b"  # vermilion, blue, grey, red
SYMBOLS = {"tau_gen": r"$\tau_\mathrm{gen}$", "tau_mem": r"$\tau_\mathrm{mem}$"}
COLOURS = {"tau_gen": GENERALIZE, "tau_mem": MEMORIZE}
LINES: tuple[Any, ...] = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "P", "X")
STEP = r"training time $\tau$ (optimizer steps)"


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the project's style, and lay out once, so that every later save has the same bytes."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(fname=STYLE):
            figure = draw(*args, **kwargs)
            engine = figure.get_layout_engine()
            if engine is not None:
                engine.execute(figure)
            figure.set_layout_engine("none")
        return figure

    return wrapper


def message(text: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure = Figure(figsize=(6, 1.2))
    figure.text(0.5, 0.5, text, ha="center", va="center", color=MUTED)
    return figure


def levels(values: Iterable[Any]) -> list[float]:
    """The distinct numbers, sorted, whole ones as int."""
    numbers = np.unique(np.asarray(list(values), dtype=float))
    return [int(x) if x.is_integer() else float(x) for x in numbers[np.isfinite(numbers)]]


def colours(n: Iterable[Any]) -> dict[float, tuple[float, float, float, float]]:
    """A colour for each n: its place in log n on viridis, without the yellow end, which white swallows."""
    ns = levels(n)
    place = np.log(ns)
    span = place[-1] - place[0] if len(ns) > 1 else 0.0
    share = (place - place[0]) / span if span else np.full(len(ns), 0.4)
    return {n: matplotlib.colormaps["viridis"](0.85 * x) for n, x in zip(ns, share, strict=True)}


def zero_place(values: Iterable[float]) -> float:
    """Where 0 stands on a log axis that holds `values`: 0.4 decades left of the first positive one."""
    numbers = np.asarray(list(values), dtype=float)
    positive = numbers[numbers > 0]
    return float(positive.min()) / 10**0.4 if len(positive) else 1.0


def placed(values: Any, zero: float) -> np.ndarray:
    numbers = np.asarray(values, dtype=float)
    return np.where(numbers > 0, numbers, zero)


def log_ticks(axis: Axis, low: float, high: float, extra: Mapping[float, str] | None = None) -> None:
    """Ticks at decades, or at 1, 2, 5 where there are few, with `extra` ones (place -> label)."""
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    decades = [10.0**k for k in exponents if low <= 10.0**k <= high]
    fine = [10.0**k * j for k in exponents for j in (1, 2, 5) if low <= 10.0**k * j <= high]
    extra = extra or {}
    kept = {tick: plain(tick) for tick in (decades if len(decades) >= 3 else fine)} | dict(extra)
    axis.set_major_locator(FixedLocator(sorted(kept)))
    axis.set_major_formatter(FuncFormatter(lambda tick, _: kept.get(tick, "")))
    axis.set_minor_locator(
        FixedLocator([10.0**k * j for k in exponents for j in range(2, 10) if low <= 10.0**k * j <= high])
    )
    axis.set_minor_formatter(NullFormatter())


def plain(value: float) -> str:
    """A tick's label: 0.01, 50, 2,000, then powers of ten."""
    if 1e-3 <= value < 1e5:
        return f"{value:,.10g}"
    mantissa, exponent = f"{value:e}".split("e")
    head = "" if float(mantissa) == 1 else rf"{float(mantissa):g}\times "
    return rf"${head}10^{{{int(exponent)}}}$"


def time_axis(axes: Axes, values: Iterable[float]) -> None:
    """Log axis of training time over `values`; a 0 among them gets a tick of its own at the left edge."""
    numbers = np.asarray(list(values), dtype=float)
    zero, last = zero_place(numbers), max(float(numbers.max(initial=1.0)), 1.0 * zero_place(numbers) * 10)
    has_zero = bool((numbers <= 0).any())
    first = zero * 10**0.4
    axes.set_xscale("log")
    axes.set_xlim((zero if has_zero else first) / 1.15, last * 1.15)
    log_ticks(axes.xaxis, first * 0.999, last * 1.001, {zero: "0"} if has_zero else None)


def n_axis(axis: Axis, ns: Sequence[float]) -> None:
    """Ticks at the values of n themselves, at most eight of them."""
    every = -(-len(ns) // 8)
    axis.set_major_locator(FixedLocator(list(ns)[::every]))
    axis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:,.0f}"))
    axis.set_minor_locator(FixedLocator([]))


def key(figure: Figure, table: pd.DataFrame, extra: Sequence[Line2D]) -> None:
    """One row above the panels: a colour for each n, a line for each W where there are several, and `extra`."""
    handles = [Line2D([], [], color=c, linewidth=3, label=f"$n$ = {n:,}") for n, c in colours(table["n"]).items()]
    widths = levels(table["width"])
    if len(widths) > 1:
        handles += [
            Line2D([], [], color=MUTED, linestyle=LINES[i % 4], label=f"$W$ = {width}")
            for i, width in enumerate(widths)
        ]
    handles += extra
    columns = min(len(handles), max(3, int(figure.get_figwidth() / 1.1)))
    figure.legend(handles=handles, loc="outside upper left", ncols=columns)


def time_handle(name: str) -> Line2D:
    style: dict[str, Any] = {"color": MUTED, "markerfacecolor": "white", "markeredgewidth": 1.6}
    return Line2D([], [], linestyle="none", marker="D" if name == "tau_mem" else "o", label=SYMBOLS[name], **style)


def mark_time(
    axes: Axes, x: np.ndarray, y: np.ndarray, time: Mapping[Any, Any], name: str, scale: float, colour: Any
) -> None:
    """Mark a reached time, with its interval, on its curve (x, y); `scale` is n where x is τ/n."""
    tau, low, high = (float(time.get(f"{name}{end}", np.nan)) / scale for end in ("", "_low", "_high"))
    if time.get(f"{name}_status") != "reached" or not tau > 0:
        return
    height = float(np.interp(np.log(tau), np.log(x), y))
    ends = np.clip([low, high], x[0], x[-1])
    if np.isfinite(ends).all():
        axes.plot(ends, [height, height], "-|", color=colour, linewidth=1.3, markersize=8, zorder=4)
    marker = "D" if name == "tau_mem" else "o"
    axes.plot(tau, height, marker, color=colour, markerfacecolor="white", markeredgewidth=1.6, markersize=6, zorder=5)


def arrow(axes: Axes, x: float, y: float, rise: float, colour: str) -> None:
    """An arrow from (x, y), `rise` points up or down: the time lies somewhere there."""
    shape = {"arrowstyle": "<|-", "color": colour, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 4}
    axes.annotate("", xy=(x, y), xytext=(0, rise), textcoords="offset points", arrowprops=shape)


def law(fit: Mapping[str, Any], n: np.ndarray, width: np.ndarray) -> np.ndarray:
    """exp(log C) n^α W^β; β = 0 where the law has none."""
    beta = fit.get("beta")
    scale = np.zeros(len(n)) if beta is None or not np.isfinite(beta) else beta * np.log(width)
    return np.exp(fit["log_c"] + fit["alpha"] * np.log(n) + scale)


def fitted(fit: Mapping[str, Any] | None) -> bool:
    """Whether there is a law to draw: fitted, and not refused."""
    return bool(fit and not fit.get("refused") and {"alpha", "log_c"} <= fit.keys() and np.isfinite(fit["alpha"]))


def law_text(fit: Mapping[str, Any] | None, name: str) -> str:
    """The law in symbols with its intervals, or why there is none."""
    symbol = SYMBOLS[name]
    if not fitted(fit):
        reason = (fit or {}).get("refused") or "not fitted"
        return f"{symbol}: no law\n" + textwrap.fill(str(reason).replace("$", r"\$"), 24, max_lines=6)
    assert fit is not None
    lines = [rf"{symbol} $\propto\ n^{{{fit['alpha']:.2f}}}$"]
    beta = fit.get("beta")
    if beta is not None and np.isfinite(beta):
        lines[0] += rf" $W^{{{beta:.2f}}}$"
    lines.append(rf"$\alpha$ {interval(fit.get('low'), fit.get('high'))}")
    if fit.get("beta_low") is not None:
        lines.append(rf"$\beta$ {interval(fit.get('beta_low'), fit.get('beta_high'))}")
    return "\n".join(lines)


def interval(low: Any, high: Any) -> str:
    if low is None or high is None or not np.isfinite([low, high]).all():
        return "without interval"
    return f"in [{low:.2f}, {high:.2f}] (95%)".replace("-", "−")


class Point(NamedTuple):
    """One time of one run: reached, or a bound (status right or left)."""

    name: str
    n: float
    width: float
    tau: float
    low: float
    high: float
    status: str


def points(table: pd.DataFrame, name: str) -> list[Point]:
    """The times `name` of all runs, at the step that bounds them where censored; runs without either are left out."""
    known = []
    for row in table.to_dict("records"):
        status = row[f"{name}_status"]
        tau = row[name] if status == "reached" else row[f"{name}_last_step"]
        if status in ("reached", "right", "left") and tau > 0:
            low, high = (float(row.get(f"{name}_{end}", np.nan)) for end in ("low", "high"))
            known.append(Point(name, row["n"], row.get("width", np.nan), float(tau), low, high, status))
    return known


def dodged(points: Sequence[Point]) -> list[Point]:
    """Points that would hide each other (same name and n, heights within 30%) side by side, in the order of W."""
    piles: list[list[Point]] = []
    for point in sorted(points, key=lambda p: (p.name, p.n, p.tau)):
        last = piles[-1][-1] if piles else None
        if last and (last.name, last.n) == (point.name, point.n) and point.tau < 1.3 * last.tau:
            piles[-1].append(point)
        else:
            piles.append([point])
    out = []
    for pile in piles:
        apart = min(0.06, 0.36 / len(pile))
        for i, point in enumerate(sorted(pile, key=lambda p: p.width)):
            out.append(point._replace(n=point.n * np.exp(apart * (i - (len(pile) - 1) / 2))))
    return out


def draw_point(axes: Axes, point: Point, marker: str) -> None:
    """A filled mark with its interval, or an open one with an arrow where the time is only bounded."""
    colour, reached = COLOURS[point.name], point.status == "reached"
    if reached:
        low, high = (end if np.isfinite(end) and end > 0 else point.tau for end in (point.low, point.high))
        axes.plot([point.n, point.n], [low, high], color=colour, linewidth=1.6, alpha=0.8, zorder=3)
        if np.isposinf(point.high):
            arrow(axes, point.n, point.tau, 20, colour)
    else:
        arrow(axes, point.n, point.tau, 24 if point.status == "right" else -24, colour)
    face = colour if reached else "white"
    axes.plot(
        point.n, point.tau, marker, color=colour, markerfacecolor=face, markeredgewidth=1.6, markersize=7, zorder=4
    )


def window(axes: Axes, n: np.ndarray, start: np.ndarray, end: np.ndarray, note: str) -> None:
    """Shade the training times between `start` and `end` [n], and name the three regions where there is room."""
    axes.fill_between(n, start, end, where=list(end > start), color="#2f9e6e", alpha=0.15, linewidth=0, zorder=1)
    low, high = np.log(axes.get_ylim())
    height = np.log(end / start) / (high - low)
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
    for i in range(1, len(places)):
        if places[i] - places[i - 1] < need:
            middle = np.clip((places[i] + places[i - 1]) / 2, need / 2, 1 - need / 2)
            places[i - 1 : i + 1] = [middle - need / 2, middle + need / 2]
    for place, (text, (_, colour)) in zip(places, ordered, strict=True):
        axes.annotate(text, (1.015, place), xycoords="axes fraction", color=colour, va="center", ha="left")
