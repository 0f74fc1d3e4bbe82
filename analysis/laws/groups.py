"""Which runs of a family err together, and which runs to add where that leaves a law open.

Runs of one n lie together above or below a law (it bends between them, or they share a subset), runs of one W do, and
runs of one seed share initialization and noise. Where n repeats, a family is taken so by default.
"""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pandas as pd

from diffmem.errors import InputError

GROUPS = {
    "auto": "runs of one n, of one W and of one seed err together where n repeats",
    "n": "runs of one n, of one W and of one seed err together",
    "seed": "runs of one seed err together",
    "none": "every run errs by itself",
}
LEAST = 3  # values of n (or W) that an exponent and its interval need where their runs err together


def factors(times: pd.DataFrame, group: str = "auto") -> dict[str, pd.Series]:
    """Labels of what the runs share [N], by factor; empty where every run errs by itself.

    `times` has the columns n, width and, where known, seed. Raises InputError for an unknown `group`.
    """
    if group not in GROUPS:
        raise InputError(f"--group={group} is not one of {', '.join(GROUPS)}.")
    if group == "auto":
        group = "n" if times["n"].duplicated().any() else "none"
    names = {"n": ("n", "width", "seed"), "seed": ("seed",), "none": ()}[group]
    return {name: times[name] for name in names if name in times and times[name].nunique() > 1}


def more(have: Iterable[float], number: int = 2) -> list[int]:
    """Values of n (or W) to add: the middles of the widest gaps, in log, and doubles of the largest."""
    known = sorted(set(have))
    added: list[int] = []
    while known and len(added) < number:
        gaps = [(high / low, round(np.sqrt(low * high))) for low, high in pairwise(known)]
        ratio, middle = max(gaps, default=(1.0, 0))
        value = middle if ratio > 2.5 else round(2 * known[-1])
        added.append(int(value))
        known = sorted({*known, value})
    return sorted(added)


def more_words(name: str, have: Iterable[float], number: int) -> str:
    """`add two more n, such as 128 and 512`."""
    values = " and ".join(str(value) for value in more(have, number))
    return f"add {'one' if number == 1 else 'two'} more {name}, such as {values}"
