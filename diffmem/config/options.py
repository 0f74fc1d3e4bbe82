"""Options as dataclass fields: allowed ranges beside the field, and one checked way from a mapping to the dataclass.

A field whose type is a union of `Variant` dataclasses is a choice: the word under the tag (`name`, of most) selects
the dataclass, and so the options there are. The union is the one table of the choice.

Knows nothing of what the options mean. Every message names the option by its dotted name, as a user types it.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

from diffmem.arguments import SHOWN, check_range, shown
from diffmem.errors import InputError

T = TypeVar("T")


class Variant:
    """One of several dataclasses that a setting chooses between; its class attribute `tag` holds its word."""

    tag: ClassVar[str] = "name"


def variants(union: Any) -> dict[str, type[Any]]:
    """The dataclasses of a union of variants by their words; empty for any other type."""
    classes = typing.get_args(union)
    if not all(isinstance(cls, type) and issubclass(cls, Variant) for cls in classes):
        return {}
    return {getattr(cls, cls.tag): cls for cls in classes}


def option(
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: Iterable[object] | None = None,
    most: int | None = None,
    path: bool = False,
    default: Any = dataclasses.MISSING,
) -> Any:
    """A field with its allowed range: `low <= value <= high`, `value > above`, or one of `choices`.

    A list has `most` items at most, each in that range. `path` says that the word is one, whatever it looks like.
    """
    metadata = {"low": low, "high": high, "above": above, "choices": tuple(choices) if choices else None}
    metadata |= {"most": most, "path": path}
    return dataclasses.field(metadata=metadata, default=default)


def path_keys(cls: type) -> set[str]:
    """The options whose word is a path, by their dotted names."""
    found = set()
    for name, hint in typing.get_type_hints(cls).items():
        for group in variants(hint).values() or ([hint] if dataclasses.is_dataclass(hint) else []):
            found |= {f"{name}.{key}" for key in path_keys(typing.cast(type, group))}
    return found | {entry.name for entry in dataclasses.fields(typing.cast(Any, cls)) if entry.metadata.get("path")}


def known_keys(cls: type, prefix: str = "") -> list[str]:
    """Every option by its dotted name, those of all variants included."""
    keys = []
    hints = typing.get_type_hints(cls)
    for entry in dataclasses.fields(cls):
        hint = hints[entry.name]
        if dataclasses.is_dataclass(hint):
            keys += known_keys(typing.cast(type, hint), f"{prefix}{entry.name}.")
        elif table := variants(hint):
            keys += [f"{prefix}{entry.name}.{name}" for name in _names(table.values())]
        else:
            keys.append(prefix + entry.name)
    return keys


def tags(cls: type) -> dict[str, str]:
    """Each field that is a choice, with the tag that its variants share."""
    tables = {name: variants(hint) for name, hint in typing.get_type_hints(cls).items()}
    return {name: next(iter(table.values())).tag for name, table in tables.items() if table}


def unknown_key(key: str, known: Iterable[str]) -> InputError:
    """The error for an option that does not exist, with the nearest that does."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "see `diffmem train --cfg` for all of them."
    return InputError(f"unknown option {key}: {hint}")


def build(
    cls: type[T], mapping: Mapping[str, Any], prefix: str = "", *, unused: Mapping[str, Mapping[str, Any]] | None = None
) -> T:
    """An instance of dataclass `cls`, nested ones included. Raises InputError where a key or value does not fit.

    `unused` holds, for a field that is a choice, the values besides null that an option of another variant may have.
    """
    hints = typing.get_type_hints(cls)
    fields = {entry.name: entry for entry in dataclasses.fields(typing.cast(Any, cls))}
    for name in mapping:
        if name not in fields:
            raise unknown_key(prefix + name, known_keys(cls, prefix))
    values: dict[str, Any] = {}
    for name, entry in fields.items():
        key, hint = prefix + name, hints[name]
        if dataclasses.is_dataclass(hint):
            values[name] = build(typing.cast(type, hint), _group(mapping, name, key), key + ".")
        elif table := variants(hint):
            values[name] = build_variant(table, _group(mapping, name, key), key, unused=(unused or {}).get(name, {}))
        elif name in mapping:
            values[name] = _check(key, mapping[name], hint, entry.metadata)
        elif entry.default is dataclasses.MISSING:
            raise InputError(f"{key} is missing: give it a value.")
    return cls(**values)


def _group(mapping: Mapping[str, Any], name: str, key: str) -> Mapping[str, Any]:
    """The options of the group `name`, {} where there is none."""
    group = mapping.get(name)
    if group is not None and not isinstance(group, Mapping):
        raise InputError(f"{key}={shown(group)} is a group of options, not a value: set those, such as {key}.name.")
    return group or {}


def build_variant(
    table: Mapping[str, type[Any]], mapping: Mapping[str, Any], group: str, *, unused: Mapping[str, Any] | None = None
) -> Any:
    """The variant that `mapping` names, as `build` makes it. An option of another variant may be null or `unused`."""
    tag = next(iter(table.values())).tag
    if tag not in mapping:
        raise InputError(f"{group}.{tag} is missing: give it a value.")
    word = _check(f"{group}.{tag}", mapping[tag], str, {"choices": tuple(table)})
    own, foreign = _names([table[word]]), _names(table.values())
    applies = {}
    for name, value in mapping.items():
        if name in own or name not in foreign:
            applies[name] = value
        elif value is not None and value != (unused or {}).get(name):
            raise InputError(f"{group}.{name}={shown(value)} does not apply to {group}={word}: leave it out.")
    del applies[tag]
    return build(table[word], applies, f"{group}.")


def without_foreign(cls: type, mapping: Mapping[str, Any]) -> dict[str, Any]:
    """`mapping` without the options of variants that it does not choose."""
    kept = dict(mapping)
    for name, hint in typing.get_type_hints(cls).items():
        table, group = variants(hint), mapping.get(name)
        word = group.get(tags(cls)[name]) if table and isinstance(group, Mapping) else None
        if isinstance(group, Mapping) and isinstance(word, str) and (chosen := table.get(word)):
            foreign = set(_names(table.values())) - set(_names([chosen]))
            kept[name] = {key: value for key, value in group.items() if key not in foreign}
    return kept


def to_mapping(instance: Any) -> dict[str, Any]:
    """The inverse of `build`: a plain nested dict, tuples as lists, the tag of a variant before its options."""
    entries = [(entry.name, getattr(instance, entry.name)) for entry in dataclasses.fields(instance)]
    tag = [(instance.tag, getattr(instance, instance.tag))] if isinstance(instance, Variant) else []
    return dict([*tag, *((name, _plain(value)) for name, value in entries)])


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_mapping(value)
    return list(value) if isinstance(value, tuple) else value


def _names(classes: Iterable[type[Any]]) -> list[str]:
    """The tag and every option that one of these variants has."""
    names = [name for cls in classes for name in (cls.tag, *(entry.name for entry in dataclasses.fields(cls)))]
    return list(dict.fromkeys(names))


def _check(key: str, value: Any, hint: Any, bounds: Mapping[str, Any]) -> Any:
    """`value` as the type of `hint` and inside its bounds, or InputError."""
    allowed = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    lists = [kind for kind in allowed if typing.get_origin(kind) is tuple]
    if lists and (len(allowed) == 1 or isinstance(value, (list, tuple))):
        if not isinstance(value, (list, tuple)):
            raise InputError(f"{key}={shown(value)} is not a list: write {key}=[1,2].")
        if bounds.get("most") is not None and len(value) > bounds["most"]:
            raise InputError(f"{key} has {len(value)} items: give at most {bounds['most']}.")
        return tuple(_check(key, item, typing.get_args(lists[0])[0], bounds) for item in value)
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
        words_given = repr(value[:SHOWN]) if isinstance(value, str) else shown(value)
        raise InputError(f"{key}={words_given} is not {' or '.join(words.get(kind, 'a list') for kind in allowed)}.")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        check_range(key, value, bounds)
    choices = bounds.get("choices")
    if choices and value not in choices:
        raise InputError(f"{key}={shown(value)} is not one of {', '.join(map(str, choices))}.")
    return value
