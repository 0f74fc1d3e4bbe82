"""What a value that somebody gave may be, checked in one place for settings, command lines and Python calls alike.

Every check takes the value's name as its user wrote it, and raises InputError for a value out of range and TypeError
for one of another type. Both name it.
"""

import math
import numbers
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from diffmem.errors import InputError

LARGEST = 2**63 - 1  # of the whole numbers that a table holds
SHOWN = 60  # characters of a value in a message


def shown(value: object, length: int = SHOWN) -> str:
    """`value` in a message, whatever it is, in `length` characters."""
    try:
        words = "null" if value is None else value if isinstance(value, str) else repr(value)
    except Exception:  # a whole number of too many digits, or an object that cannot be shown
        words = f"a {type(value).__name__}"
    words = "".join(letter if letter.isprintable() else "?" for letter in words)
    return words if len(words) <= length else words[:length] + "..."


def check_range(name: str, value: float, bounds: Mapping[str, Any]) -> None:
    """Raise InputError where `value` is not finite or outside of `low <= value <= high` and `value > above`."""
    low, high, above = bounds.get("low"), bounds.get("high"), bounds.get("above")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name}={value} is not a finite number.")
    if (
        (low is not None and value < low)
        or (high is not None and value > high)
        or (above is not None and value <= above)
    ):
        limits = [
            text
            for bound, text in ((low, f">= {low}"), (above, f"> {above}"), (high, f"<= {high}"))
            if bound is not None
        ]
        raise InputError(f"{name}={shown(value)} is out of range: it must be {' and '.join(limits)}.")


def whole(name: str, value: Any, *, low: int = 0, high: int = LARGEST) -> int:
    """A whole number from `low` to `high`, of Python's or numpy's kinds."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{name}={value} is not a finite number.")
        raise TypeError(f"{name}={shown(value)} is not a whole number.")
    check_range(name, int(value), {"low": low, "high": high})
    return int(value)


def number(name: str, value: Any, **bounds: float) -> float:
    """A finite number inside `low`, `high` and `above`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}={shown(value)} is not a number.")
    check_range(name, float(value), bounds)
    return float(value)


def word(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}={shown(value)} is not a word.")
    return value


def one_of(name: str, value: Any, choices: Iterable[str]) -> str:
    """One of the words `choices`."""
    if word(name, value) not in (words := list(choices)):
        raise InputError(f"{name}={shown(value)} is not one of {', '.join(words)}.")
    return value


def path(name: str, value: Any) -> Path:
    """A path, `~` resolved."""
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{name}={shown(value)} is not a path.")
    words = os.fspath(value)
    if not words or "\0" in words:
        raise InputError(f"{name}={shown(words)} names no file.")
    try:
        return Path(words).expanduser()
    except RuntimeError as error:  # a user that is not there, or no home
        raise InputError(f"{name}={shown(words)}: {error}: write the path out.") from error


def array(name: str, value: Any, *, least: int = 1) -> Any:
    """Numbers in a tensor or an array (a memory map too) of at least `least` dimensions."""
    kind = getattr(getattr(value, "dtype", None), "kind", None)  # of numpy
    real = kind in ("b", "i", "u", "f") or (kind is None and _is_tensor_of_reals(value))
    if not real or not hasattr(value, "shape"):
        raise TypeError(f"{name}={shown(type(value).__name__)} is neither a tensor nor an array of real numbers.")
    if len(value.shape) < least:
        raise InputError(f"{name} has shape {tuple(value.shape)}: it needs {least} dimensions or more.")
    return value


def _is_tensor_of_reals(value: Any) -> bool:
    return hasattr(value, "is_complex") and not value.is_complex() and not getattr(value, "is_quantized", False)
