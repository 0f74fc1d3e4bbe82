"""What is read back from a run directory, checked against what is written there: one reader for each kind of file.

A file that is not what was written is refused with its name, its line or key, and what to do; no number is taken
from it. Files are regular and of bounded size, settings are plain YAML without aliases.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors import SafetensorError, safe_open

from diffmem.errors import InputError, first_line
from diffmem.files import check_regular, json_value, no_constant, read_bytes

LARGEST = 2**63  # whole numbers below it fit a table
SETTINGS = 1 << 20  # bytes of a file of settings
META = {"format": int, "data": dict, "segments": list, "networks": dict}
WORDS = ("status", "why", "phase", "host", "device")
NUMBERS = (
    "pid",
    "heartbeat",
    "step",
    "steps",
    "steps_per_second",
    "loss",
    "f_mem",
    "ended",
    "step_cost",
    "checkpoints_left",
)
DISTANCES, INDICES, SHARE, IMAGES = ("d1", "d2"), ("i1", "i2"), "own", "images"


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few of them can stand for more than any memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it holds an alias (*)")
        return super().compose_node(parent, index)


def settings(path: Path) -> dict[str, Any]:
    """The nested settings in a config.yaml. Raises InputError for anything else."""
    try:
        content = read_bytes(path, SETTINGS)
        loaded = yaml.load(content, _PlainLoader)
    except (InputError, OSError):
        raise
    except Exception as error:  # a broken file makes its reader fail in any way
        raise InputError(f"{path} cannot be read as YAML: {first_line(error)}.") from error
    broken = "the whole" if not isinstance(loaded, dict) else _no_option(loaded)
    if broken:
        raise InputError(f"{path} holds no settings, which are options by name, in groups by name: {broken} is none.")
    return loaded


def meta(path: Path) -> dict[str, Any]:
    """meta.json, or {} where there is none."""
    found = _json(path)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _no_meta(path, "the whole")
    for name, kind in META.items():
        if name in found and type(found[name]) is not kind:
            raise _no_meta(path, name)
    if not isinstance(found.get("data", {}).get("sha256", ""), str):
        raise _no_meta(path, "data.sha256")
    if not all(isinstance(segment, dict) for segment in found.get("segments", [])):
        raise _no_meta(path, "segments")
    return found


def status(path: Path) -> dict[str, Any]:
    """What of status.json is as it was written, which is {} where nothing is: it is a sign of life and no result."""
    try:
        found = _json(path)
    except (InputError, OSError):
        return {}
    if not isinstance(found, dict):
        return {}
    fits = {**dict.fromkeys(WORDS, lambda value: isinstance(value, str)), **dict.fromkeys(NUMBERS, _is_number)}
    return {name: value for name, value in found.items() if name not in fits or value is None or fits[name](value)}


def points(path: Path) -> list[dict[str, Any]]:
    """The resume points that resume.json names, oldest first; [] where there is none. Raises InputError for others."""
    found = _json(path)
    if found is None:
        return []
    if not isinstance(found, list) or not all(map(_is_point, found)):
        raise InputError(f"{path} is no list of resume points.")
    return found


def rows(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """The rows of a metrics.jsonl in file order, and whether a torn last line was left out.

    A row has a step of its own, and for each measure a finite number or null. Raises InputError with the line and the
    key of anything else.
    """
    *lines, torn = read_bytes(path).split(b"\n")
    found: list[dict[str, Any]] = []
    steps: set[int] = set()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line, parse_constant=no_constant)
            _check_row(row, steps)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{path}, line {number}, is no row of metrics ({first_line(error)}): remove that line; "
                "`diffmem evaluate` computes it again."
            ) from error
        steps.add(row["step"])
        found.append(row)
    return found, bool(torn)


def samples(path: Path, names: Sequence[str], count: int | None = None) -> dict[str, np.ndarray]:
    """The arrays `names` of a samples file (all of them, where `names` is empty), cut to the first `count`.

    `own` is left out where the file is older than it.

    Raises InputError where they are not M distances and M indices, and images. FileNotFoundError where there are none.
    """
    check_regular(path)
    try:
        with safe_open(path, "np") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            one_each = (*DISTANCES, *INDICES, *({SHARE} & parts.keys()))
            sizes = {name: parts[name].get_shape() for name in (*one_each, IMAGES)}
            most = LARGEST if count is None else count
            wanted = [name for name in names or parts if name != SHARE or name in parts]
            arrays = {name: parts[name][: min(most, parts[name].get_shape()[0])] for name in wanted}
    except (SafetensorError, TypeError, LookupError, ValueError) as error:
        raise _damaged(path, first_line(error)) from error
    if len({tuple(sizes[name]) for name in one_each}) > 1 or len(sizes["d1"]) != 1:
        raise _damaged(path, "its arrays are not one number a sample")
    for name in DISTANCES:
        if name in arrays and not (np.isfinite(arrays[name]) & (arrays[name] >= 0)).all():
            raise _damaged(path, f"{name} is no distance throughout")
    if SHARE in arrays and not ((arrays[SHARE] >= 0) & (arrays[SHARE] <= 1)).all():
        raise _damaged(path, f"{SHARE} is no share throughout")
    for name in INDICES:
        if name in arrays and (arrays[name].dtype.kind != "i" or (arrays[name] < 0).any()):
            raise _damaged(path, f"{name} is no index throughout")
    return arrays


def _check_row(row: Any, steps: set[int]) -> None:
    """Raise ValueError with the key of what is wrong; `steps` are those of the rows before."""
    if not isinstance(row, dict) or type(row.get("step")) is not int or row["step"] < 0:
        raise ValueError("it has no step, a whole number of 0 or more")
    if row["step"] in steps:
        raise ValueError(f"step {row['step']} stands on an earlier line too")
    for name, value in row.items():
        if value is not None and not _is_number(value):
            raise ValueError(f"{name} is no finite number")


def _json(path: Path) -> Any:
    """The value in a JSON file, None where there is no file. Raises InputError where it cannot be read as JSON."""
    try:
        return json_value(path)
    except FileNotFoundError:
        return None


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < LARGEST if isinstance(value, int) else math.isfinite(value)


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, dict)
        and type(point.get("step")) is int
        and 0 <= point["step"] < LARGEST
        and isinstance(point.get("file"), str)
        and isinstance(point.get("sha256"), str)
    )


def _no_option(value: Any, name: str = "") -> str | None:
    """The dotted name of what is neither a group of options by their names nor a value of one; None for none such."""
    if isinstance(value, Mapping):
        inner = ((f"{name}.{key}".lstrip("."), key, item) for key, item in value.items())
        return next((at for at, key, item in inner if not isinstance(key, str) or _no_option(item, at)), None)
    items = value if isinstance(value, list) else [value]
    return None if all(item is None or isinstance(item, str | bool | int | float) for item in items) else name


def _no_meta(path: Path, name: str) -> InputError:
    return InputError(f"{path}: {name} is not what was written there: remove it, and `diffmem train` makes it anew.")


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"{path} is damaged ({what}): `diffmem evaluate` makes it again from its checkpoint.")
