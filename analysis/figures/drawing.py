"""The parts that figures share: colours, log axes with a place for 0, curves with bands, marks and labels.

Letters: n training images, W base channels, τ training time in optimizer steps, t diffusion time, f_mem the share of
generated samples that are memorized. Step 0 has no place on a log axis: it stands at the left edge, labelled 0. The
style is set for the length of a call, so a caller's rcParams stay as they are.

One colour for each n (viridis in log n, dark is small), one line style and marker for each W.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

P = ParamSpec("P")

STYLE = Path(__file__).with_name("style.mplstyle")
MEMORIZE, GENERALIZE, LEAN = "#c8500a", "#0b6fae", "#7b3fa0"  # vermilion, blue, purple
MUTED, COPY = "#5b6675", "#d0152b"  # grey, red
SYMBOLS = {
    "tau_gen": r"$\tau_\mathrm{gen}$",
    "tau_bias": r"$\tau_\mathrm{bias}$",
    "tau_mem": r"$\tau_\mathrm{mem}$",
}
COLOURS = {"tau_gen": GENERALIZE, "tau_bias": LEAN, "tau_mem": MEMORIZE}
MARKS = {"tau_gen": "o", "tau_bias": "s", "tau_mem": "D"}  # on curves
LINES: tuple[Any, ...] = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "P", "X")
STEP = r"training time $\tau$ (optimizer steps)"


def literal(words: str) -> str:
    """Words of a user, none of whose characters is taken as mathematics."""
    return words.replace("$", r"\$")


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
    """Ticks at decades, or at 1, 2, 5 where there are few, or closer, with `extra` ones (place -> label).

    An axis on which nothing is drawn has limits without a logarithm, and no ticks.
    """
    if low <= 0:
        axis.set_major_locator(NullLocator())
        axis.set_minor_locator(NullLocator())
        return
    exponents = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    decades = [10.0**k for k in exponents if low <= 10.0**k <= high]
    fine, finest = (
        [10.0**k * j for k in exponents for j in steps if low <= 10.0**k * j <= high]
        for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 6, 8))
    )
    extra = extra or {}
    ticks = next(ticks for ticks in (decades, fine, finest) if len(ticks) >= 3 or ticks is finest)
    kept = {tick: plain(tick) for tick in ticks} | dict(extra)
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
    return Line2D([], [], linestyle="none", marker=MARKS[name], label=SYMBOLS[name], **style)


def mark_time(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    time: Mapping[Any, Any],
    name: str,
    scale: float,
    colour: Any,
    apart: float | None = None,
) -> None:
    """Mark a reached time, with its interval, on its curve (x, y); `scale` is n where x is τ/n.

    The interval goes through the mark, or where all runs come to one level, so that theirs would lie on each other, to
    the height `apart` of the axes.
    """
    tau, low, high = (float(time.get(f"{name}{end}", np.nan)) / scale for end in ("", "_low", "_high"))
    if time.get(f"{name}_status") != "reached" or not tau > 0:
        return
    height = float(np.interp(np.log(tau), np.log(x), y))
    ends = np.clip([low, high], x[0], x[-1])
    if np.isfinite(ends).all():
        style: dict[str, Any] = {"color": colour, "linewidth": 1.3, "markersize": 8, "zorder": 4}
        if apart is None:
            axes.plot(ends, [height, height], "-|", **style)
        else:
            above = axes.get_xaxis_transform()
            axes.plot(ends, [apart, apart], "-|", transform=above, **style | {"markersize": 5})
            axes.plot(tau, apart, ".", transform=above, **style | {"markersize": 5})
    axes.plot(
        tau, height, MARKS[name], color=colour, markerfacecolor="white", markeredgewidth=1.6, markersize=6, zorder=5
    )
