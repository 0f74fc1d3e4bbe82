"""Times of a run in words: the same on the page and on the command line."""

import math
from collections.abc import Mapping
from typing import Any


def steps(value: float) -> str:
    """A number of steps for people: 387, 12,400; one decimal below 10."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")


def time_words(row: Mapping[Any, Any], name: str) -> str:
    """One time of one run in words: `387 [341, 437]`, `> 6,000 (not reached)`, `< 50 (already true there)`."""
    status = row.get(f"{name}_status")
    if status == "reached":
        low, high = (float(row.get(f"{name}_{end}", math.nan)) for end in ("low", "high"))
        if math.isnan(low) or math.isnan(high):
            return steps(row[name])
        return f"{steps(row[name])} [{steps(low)}, {'not reached' if math.isinf(high) else steps(high)}]"
    if status == "right":
        return f"> {steps(row[f'{name}_last_step'])} (not reached)"
    if status == "left":
        return f"< {steps(row[f'{name}_last_step'])} (already true there)"
    return "refused, see notes" if status == "refused" else "not measured"


def window_words(row: Mapping[Any, Any]) -> str:
    """τ_mem / τ_gen of one run: `5.2×`, `> 40×` where τ_mem is not reached, `–` where τ_gen is not."""
    if row.get("tau_gen_status") != "reached" or row.get("tau_mem_status") not in ("reached", "right"):
        return "–"
    bound = row["tau_mem_status"] == "right"
    ratio = row["tau_mem_last_step" if bound else "tau_mem"] / row["tau_gen"]
    return f"{'> ' if bound else ''}{ratio:.2g}×" if ratio < 10 else f"{'> ' if bound else ''}{ratio:,.0f}×"
