"""Times of a run in words: the same on the page and on the command line."""

import math
from collections.abc import Callable, Mapping
from typing import Any


def steps(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """A number of steps for people, as exact as its interval [low, high] allows: 387, 12,400; one decimal below 10.

    The last digit shown is the last that the half-width of the interval has, of which two digits count where it begins
    with 1 to 3.5 and one else (the rule of the Particle Data Group).
    """
    return _plain(value, _unit(value, low, high), round)


def interval(value: float, low: float, high: float) -> str:
    """`160 [140, 330]`: the value and its interval, rounded outwards; the value alone where there is no interval."""
    if math.isnan(low) or math.isnan(high):
        return steps(value)
    above = "not reached" if math.isinf(high) else _plain(high, _unit(value, low, high), math.ceil)
    return f"{steps(value, low, high)} [{lower_end(value, low, high)}, {above}]"


def lower_end(value: float, low: float, high: float) -> str:
    """The lower end that `interval` shows: with a digit of its own, where it is short of the last one of the others."""
    unit = _unit(value, low, high)
    if 0 < low < unit:
        unit = 10.0 ** math.floor(math.log10(low))
    return _plain(low, unit, math.floor)


def _unit(value: float, low: float, high: float) -> float:
    """What numbers of this interval are multiples of; 0 where there is none."""
    half = value - low if math.isinf(high) else (high - low) / 2
    if not (half > 0 and value > 0):
        return 0.0
    first = 10.0 ** math.floor(math.log10(half))
    wanted = first / 10 if half / first < 3.55 else first
    return min(wanted, 10.0 ** math.floor(math.log10(value)))


def _plain(value: float, unit: float, rounded: Callable[[float], int]) -> str:
    """`value` as a multiple of `unit`, which is a tenth at least, and one from 10 on."""
    unit = max(unit, 1.0 if value >= 10 else 0.1)
    shown = rounded(value / unit) * unit
    return f"{shown:,.0f}" if shown >= 10 else f"{shown:.1f}".removesuffix(".0")


def time_words(row: Mapping[Any, Any], name: str) -> str:
    """One time of one run in words: `390 [340, 440]`, `> 6,000 (not reached)`, `< 50 (already true there)`."""
    status = row.get(f"{name}_status")
    if status == "reached":
        return interval(row[name], *(float(row.get(f"{name}_{end}", math.nan)) for end in ("low", "high")))
    if status == "right":
        return f"> {steps(row[f'{name}_last_step'])} (not reached)"
    if status == "left":
        return f"< {steps(row[f'{name}_last_step'])} (already true there)"
    return "refused, see notes" if status == "refused" else "not measured"


def window_end(times: Any) -> str:
    """The time at which the window ends, of a table or a row: τ_bias, or τ_mem where p_train was never measured."""
    return "tau_bias" if "tau_bias" in times else "tau_mem"


def window_words(row: Mapping[Any, Any]) -> str:
    """The end of the window of one run over τ_gen: `5.2×`, `> 40×` where the end is not reached, `–` without τ_gen."""
    end = window_end(row)
    if row.get("tau_gen_status") != "reached" or row.get(f"{end}_status") not in ("reached", "right"):
        return "–"
    bound = row[f"{end}_status"] == "right"
    ratio = row[f"{end}_last_step" if bound else end] / row["tau_gen"]
    if not bound and ratio <= 1:
        return "none"
    return f"{'> ' if bound else ''}{ratio:.2g}×" if ratio < 10 else f"{'> ' if bound else ''}{ratio:,.0f}×"
