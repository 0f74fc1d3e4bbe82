"""The table of claims: claim, published, ours with its interval, setting, whether they agree, and why not.

They agree where our 95% interval holds the published number or meets the published range. A range with an infinite end
is a claim of a sign: our interval must lie inside it, and where the end cuts it the claim is open.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from diffmem.files import write_bytes
from diffmem.records import Claim

from .reading import Found

FILE = "claims.csv"
COLUMNS = ("claim", "published", "ours", "low", "high", "setting", "agrees", "why")
WORDS = ("claim", "published", "setting", "agrees", "why")  # the columns that hold no number
DIGITS = 6  # significant ones of what is written


def table(claims: Mapping[str, Claim], found: Mapping[str, Found], *, reduced: bool) -> pd.DataFrame:
    """One row a claim, with COLUMNS. `why`: the note of what was found, and the claim's but where runs agree."""
    return pd.DataFrame([_row(claim, found[key], reduced) for key, claim in claims.items()], columns=list(COLUMNS))


def _row(claim: Claim, one: Found, reduced: bool) -> tuple[object, ...]:
    verdict = agrees(claim, one)
    why = f"{one.note} {claim.why if reduced and verdict in ('no', 'open', '') else ''}".strip()
    return claim.words, published(claim), one.ours, one.low, one.high, one.setting, verdict, why


def agrees(claim: Claim, found: Found) -> str:
    """yes, no, open, or not measured; empty where nothing was published."""
    if math.isnan(found.ours):
        return "not measured"
    if claim.published is None:
        return ""
    if math.isnan(found.low) or math.isnan(found.high):
        return "open"  # a number without an interval decides nothing
    low, high = claim.published if isinstance(claim.published, tuple) else (claim.published,) * 2
    if found.high < low or found.low > high:
        return "no"
    inside = low <= found.low and found.high <= high
    return "open" if math.inf in (-low, high) and not inside else "yes"


def published(claim: Claim) -> str:
    """The published value in words: `1`, `3e+06 to 4.5e+06`, `above 0`."""
    if claim.published is None:
        return ""
    if not isinstance(claim.published, tuple):
        return f"{claim.published:.{DIGITS}g}"
    low, high = claim.published
    if math.isinf(high):
        return f"above {low:.{DIGITS}g}"
    return f"below {high:.{DIGITS}g}" if math.isinf(low) else f"{low:.{DIGITS}g} to {high:.{DIGITS}g}"


def write(rows: pd.DataFrame, folder: Path) -> Path:
    """Write claims.csv into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / FILE, rows.to_csv(index=False, float_format=f"%.{DIGITS}g", lineterminator="\n").encode())
    return folder / FILE


def described(rows: pd.DataFrame) -> str:
    """A line for each claim, and one for why where there is a why."""
    lines = []
    for row in rows.to_dict("records"):
        said = f"published {row['published']}, " if row["published"] else ""
        lines.append(
            f"{row['claim']}: {said}ours {interval(row['ours'], row['low'], row['high'])}. {row['agrees']}".rstrip()
        )
        lines += [f"    {row['why']}"] if row["why"] else []
    return "\n".join(lines)


def interval(ours: float, low: float, high: float) -> str:
    """`0.98 [0.91, 1.05]`, or `none`."""
    if math.isnan(ours):
        return "none"
    shown = [f"{one:.3g}" for one in (ours, low, high)]
    return shown[0] if math.isnan(low) else f"{shown[0]} [{shown[1]}, {shown[2]}]"
