"""The tables of variants: a default is written once, and nothing asks for a variant by its name."""

import ast
import dataclasses
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from diffmem.config.compose import compose
from diffmem.config.data import DATA
from diffmem.config.identity import YOUNGER
from diffmem.config.model import MODELS
from diffmem.config.options import tags, variants
from diffmem.config.settings import Config
from diffmem.data import LOADERS
from diffmem.definitions import K
from diffmem.models import NETWORKS

PACKAGE = Path(__file__).resolve().parents[2] / "diffmem"
TABLES = {name: variants(hint) for name, hint in typing.get_type_hints(Config).items() if variants(hint)}
WORDS = {word for table in TABLES.values() for word in table}
TAGS = set(tags(Config).values())
YOUNG_NAMES = {name for defaults in YOUNGER.values() for name in defaults}


def dataclasses_of(cls: type[Any]) -> Iterator[type[Any]]:
    """`cls`, and every dataclass that stands in it."""
    yield cls
    for hint in typing.get_type_hints(cls).values():
        for inner in [*variants(hint).values(), *([hint] if dataclasses.is_dataclass(hint) else [])]:
            yield from dataclasses_of(typing.cast(type, inner))


@pytest.mark.parametrize("cls", list(dataclasses_of(Config)), ids=lambda cls: cls.__name__)
def test_defaults_stand_in_the_yaml_files_alone(cls: type[Any]) -> None:
    """But for options younger than format 1, whose default is what a stored run that lacks them means."""
    for entry in dataclasses.fields(cls):
        if entry.name in YOUNG_NAMES:
            continue
        assert entry.default is dataclasses.MISSING, f"{cls.__name__}.{entry.name}"
        assert entry.default_factory is dataclasses.MISSING, f"{cls.__name__}.{entry.name}"


def test_a_young_option_is_left_out_at_the_default_of_its_dataclass() -> None:
    groups = {name: variants(hint).values() or [hint] for name, hint in typing.get_type_hints(Config).items()}
    for group, defaults in YOUNGER.items():
        fields = [entry for cls in groups[group] for entry in dataclasses.fields(cls) if entry.name in defaults]
        assert {entry.name for entry in fields} == set(defaults)
        assert all(entry.default == defaults[entry.name] for entry in fields)


def test_the_shipped_ratio_of_a_memorized_sample_is_that_of_the_definitions() -> None:
    assert compose([]).eval.k == K


def test_every_variant_can_be_made() -> None:
    assert set(LOADERS) == set(DATA.values())
    assert set(NETWORKS) == set(MODELS.values())


def is_the_word_of_a_variant(node: ast.expr) -> bool:
    """Whether it reads like `config.data.name` or `cfg.name`."""
    if not isinstance(node, ast.Attribute) or node.attr not in TAGS:
        return False
    owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", None)
    return owner in {*TABLES, "cfg", "config", "self"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_code_asks_for_a_variant_by_its_name(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare) and any(map(is_the_word_of_a_variant, [node.left, *node.comparators])):
            named = {inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant)} & WORDS
            assert not named, f"line {node.lineno} compares with {named}: ask the variant (isinstance, or a property)"
