"""The model: what it refuses, what it holds, and that the theory's functions take it instead of its values."""

import ast
import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

import diffmem.theory
from diffmem.errors import InputError
from diffmem.theory.constants import constants
from diffmem.theory.model import Model


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"psi_p": 0}, "psi_p=0 is no ratio"),
        ({"psi_n": -1}, "psi_n=-1 is no ratio"),
        ({"psi_n": math.nan}, "psi_n=nan"),
        ({"t": 0}, "t=0"),
        ({"activation": "gelu"}, "activation=gelu"),
        ({"cov": ([1.0, -0.1], [0.5, 0.5])}, "eigenvalue -0.1"),
        ({"cov": ([1.0, 2.0], [0.5, 0.4])}, "sum to 0.9"),
        ({"cov": ([1.0, 2.0], [1.5, -0.5])}, "the least is -0.5"),
        ({"cov": ([1.0, 2.0], [1.0])}, "of shape"),
        ({"cov": ([0.0], [1.0])}, "is zero"),
        ({"cov": ([math.inf], [1.0])}, "NaN or infinite"),
    ],
)
def test_bad_input(change: dict[str, Any], words: str) -> None:
    values: dict[str, Any] = {"psi_p": 8.0, "psi_n": 3.0, "t": 0.1} | change
    with pytest.raises(InputError, match=words):
        Model(**values)


def test_the_numbers_are_those_of_the_values() -> None:
    model = Model(8, 3, 0.1, "relu", cov=([3.0, 0.5, 3.0], [0.25, 0.5, 0.25]))
    assert list(model.mu) == [0.5, 3.0]
    assert list(model.weight) == [0.5, 0.5]
    assert model.constants == constants(0.1, activation="relu", sigma_x2=1.75)
    later = dataclasses.replace(model, t=0.2, cov=None)
    assert (later.psi_p, later.psi_n, later.activation) == (8, 3, "relu")
    assert later.constants == constants(0.2, activation="relu")


def test_a_model_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Model(8, 3, 0.1).t = 0.2  # type: ignore[misc]


def test_no_function_of_the_theory_takes_the_ratios_apart() -> None:
    files = sorted(Path(diffmem.theory.__path__[0]).glob("*.py"))
    assert "model.py" in [file.name for file in files]
    for node in (node for file in files for node in ast.walk(ast.parse(file.read_text()))):
        if isinstance(node, ast.FunctionDef):
            names = {argument.arg for argument in [*node.args.args, *node.args.kwonlyargs]}
            assert not names & {"psi_p", "psi_n"}, f"{node.name} should take a Model"
