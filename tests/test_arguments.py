"""Every number has two bounds, and every check names what it was given."""

import dataclasses
import math
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffmem import arguments
from diffmem.config.options import path_keys, variants
from diffmem.config.settings import Config
from diffmem.config.theory import TheoryConfig
from diffmem.errors import InputError


def numbers_of(cls: Any, prefix: str = "") -> typing.Iterator[tuple[str, Any]]:
    """Every option that takes a number, with its field's metadata."""
    hints = typing.get_type_hints(cls)
    for entry in dataclasses.fields(cls):
        hint = hints[entry.name]
        for group in variants(hint).values() or ([hint] if dataclasses.is_dataclass(hint) else []):
            yield from numbers_of(group, f"{prefix}{entry.name}.")
        if {int, float} & {hint, *typing.get_args(hint)}:
            yield prefix + entry.name, (hint, entry.metadata)


@pytest.mark.parametrize(
    ("key", "declared"),
    [pytest.param(*found, id=found[0]) for cls in (Config, TheoryConfig) for found in numbers_of(cls)],
)
def test_every_number_has_bounds_on_both_sides(key: str, declared: Any) -> None:
    hint, bounds = declared
    if bounds["choices"]:
        return
    assert bounds["low"] is not None or bounds["above"] is not None, key
    assert bounds["high"] is not None, key
    assert math.isfinite(bounds["high"]), key
    assert typing.get_origin(hint) is not tuple or bounds["most"], f"{key} is a list of any length"


def test_paths_are_known_as_such() -> None:
    of_data = {"data.root", "data.label_file", "data.decoder"}
    assert path_keys(Config) == {*of_data, "out", "train.init"}
    assert path_keys(TheoryConfig) == {*of_data, "out", "family"}


def test_whole_numbers() -> None:
    assert arguments.whole("step", np.int64(3)) == 3
    value: object
    for value in (math.nan, math.inf, -1, 2**63):
        with pytest.raises(InputError, match="step="):
            arguments.whole("step", value)
    for value in (1.0, True, "3", None, [3]):
        with pytest.raises(TypeError, match="step="):
            arguments.whole("step", value)


def test_numbers() -> None:
    assert arguments.number("k", np.float32(0.5), above=0, high=1) == 0.5
    value: object
    for value in (0, 1.5, math.nan):
        with pytest.raises(InputError, match="k="):
            arguments.number("k", value, above=0, high=1)
    for value in ("0.5", True, None, 1j):
        with pytest.raises(TypeError, match="k="):
            arguments.number("k", value)


def test_words_and_paths() -> None:
    assert arguments.one_of("weights", "ema", ("raw", "ema")) == "ema"
    with pytest.raises(InputError, match="weights=foo is not one of raw, ema"):
        arguments.one_of("weights", "foo", ("raw", "ema"))
    with pytest.raises(TypeError, match="weights="):
        arguments.one_of("weights", 3, ("raw", "ema"))
    assert arguments.path("path", "runs") == Path("runs") == arguments.path("path", Path("runs"))
    value: object
    for value in (None, 3, b"runs"):
        with pytest.raises(TypeError, match="path="):
            arguments.path("path", value)
    for value in ("", "a\0b", "~nosuchuser/x"):
        with pytest.raises(InputError, match="path="):
            arguments.path("path", value)


def test_arrays() -> None:
    value: object
    for value in (np.zeros((2, 3)), torch.zeros(2, 3), np.zeros((2, 3), np.uint8)):
        assert arguments.array("images", value, least=2) is value
    for value in ([[1.0]], "images", None, np.array(["a"]), np.zeros(2, complex), torch.zeros(2, dtype=torch.cfloat)):
        with pytest.raises(TypeError, match="images="):
            arguments.array("images", value)
    with pytest.raises(InputError, match="images has shape"):
        arguments.array("images", np.float64(3))


def test_what_is_shown_of_a_value_is_short_and_printable() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise ValueError

    assert arguments.shown(Odd()) == "a Odd"
    assert arguments.shown(10**5000) == "a int"
    assert len(arguments.shown("x" * 1000)) < 70
    assert arguments.shown("a\x1b[31m\nb") == "a?[31m?b"
