"""Options as dataclass fields: allowed ranges beside the field, and one checked way from a mapping to the dataclass.

Knows nothing of what the options mean. Every message names the option by its dotted name, as a user types it.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from diffmem.errors import InputError

T = TypeVar("T")


def option(
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: Iterable[object] | None = None,
    default: Any = dataclasses.MISSING,
) -> Any:
    """A field with its allowed range: `low <= value <= high`, `value > above`, or one of `choices`."""
    metadata = {"low": low, "high": high, "above": above, "choices": tuple(choices) if choices else None}
    return dataclasses.field(metadata=metadata, default=default)


def known_keys(cls: type, prefix: str = "") -> list[str]:
    """Every option by its dotted name."""
    keys = []
    hints = typing.get_type_hints(cls)
    for entry in dataclasses.fields(cls):
        if dataclasses.is_dataclass(hints[entry.name]):
            keys += known_keys(typing.cast(type, hints[entry.name]), f"{prefix}{entry.name}.")
        else:
            keys.append(prefix + entry.name)
    return keys


def unknown_key(key: str, known: Iterable[str]) -> InputError:
    """The error for an option that does not exist, with the nearest that does."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "see `diffmem train --cfg` for all of them."
    return InputError(f"unknown option {key}: {hint}")


def build(cls: type[T], mapping: Mapping[str, Any], prefix: str = "") -> T:
    """An instance of dataclass `cls`, nested ones included. Raises InputError where a key or value does not fit."""
    hints = typing.get_type_hints(cls)
    fields = {entry.name: entry for entry in dataclasses.fields(typing.cast(Any, cls))}
    for name in mapping:
        if name not in fields:
            raise unknown_key(prefix + name, known_keys(cls, prefix))
    values: dict[str, Any] = {}
    for name, entry in fields.items():
        key, hint = prefix + name, hints[name]
        if dataclasses.is_dataclass(hint):
            values[name] = build(typing.cast(type, hint), mapping.get(name) or {}, key + ".")
        elif name in mapping:
            values[name] = _check(key, mapping[name], hint, entry.metadata)
        elif entry.default is dataclasses.MISSING:
            raise InputError(f"{key} is missing: give it a value.")
    return cls(**values)


def _check(key: str, value: Any, hint: Any, bounds: Mapping[str, Any]) -> Any:
    """`value` as the type of `hint` and inside its bounds, or InputError."""
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            raise InputError(f"{key}={value!r} is not a list: write {key}=[1,2].")
        return tuple(_check(key, item, typing.get_args(hint)[0], bounds) for item in value)
    allowed = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    if value is None and type(None) in allowed:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and float in allowed and int not in allowed:
        value = float(value)
    if isinstance(value, float) and value.is_integer() and int in allowed and float not in allowed:
        value = int(value)
    if type(value) not in allowed:
        words = {
            int: "a whole number",
            float: "a number",
            str: "a word",
            bool: "true or false",
            type(None): "null",
        }
        shown = "null" if value is None else repr(value)
        raise InputError(f"{key}={shown} is not {' or '.join(words[kind] for kind in allowed)}.")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_range(key, value, bounds)
    choices = bounds.get("choices")
    if choices and value not in choices:
        raise InputError(f"{key}={value} is not one of {', '.join(map(str, choices))}.")
    return value


def _check_range(key: str, value: float, bounds: Mapping[str, Any]) -> None:
    low, high, above = bounds.get("low"), bounds.get("high"), bounds.get("above")
    if not math.isfinite(value):
        raise InputError(f"{key}={value} is not a finite number.")
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
        raise InputError(f"{key}={value} is out of range: it must be {' and '.join(limits)}.")
