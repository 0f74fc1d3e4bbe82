"""Memory is counted from below: never more than a network really holds, and not far less."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffmem import memory
from diffmem.config.compose import compose
from diffmem.config.model import Model, ResMLPModel, UNetModel, UNetReferenceModel
from diffmem.errors import InputError
from diffmem.models import build
from diffmem.training import budget
from diffmem.training.plan import plan
from tests.helpers.tiny import tiny

UNET: dict[str, Any] = {"attention": (), "mid_attention": False, "heads": 2, "groups": 2, "dropout": 0.0}


@given(
    kind=st.sampled_from([UNetModel, UNetReferenceModel, ResMLPModel]),
    width=st.sampled_from([8, 16, 64]),
    blocks=st.integers(1, 3),
    multipliers=st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=3).map(tuple),
)
@settings(max_examples=20)
def test_no_network_holds_fewer_weights_than_are_counted(
    kind: type[Model], width: int, blocks: int, multipliers: tuple[int, ...]
) -> None:
    rest = {} if kind is ResMLPModel else {"multipliers": multipliers, **UNET}
    config: Any = kind(width=width, blocks=blocks, **rest)
    shape = (32,) if kind is ResMLPModel else (1, 16, 16)
    with torch.device("meta"):
        held = sum(weight.numel() for weight in build(config, shape).parameters())
    counted = config.least_weights(torch.Size(shape).numel())
    assert counted <= held
    assert held < 16 * counted + 1000 * width


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"eval": {"samples": 10**7, "keep_samples": 0}, "data": {"n": 8}}, "eval.samples=10000000"),
        ({"model": {"width": 2**14, "multipliers": (8,)}}, "model.width=16384"),
        ({"model": {"width": 2**12, "blocks": 256}}, "model.width=4096"),
    ],
)
def test_a_run_that_takes_too_much_is_refused_with_the_number(
    changed: dict[str, Any], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "there_are", lambda: 4 * 2**30)
    with pytest.raises(InputError, match=rf"takes at least [\d,.e+]+ GiB of memory, .*{named}.*4 GiB are there"):
        plan(tiny(**changed))


def test_a_run_is_refused_exactly_where_it_takes_more_than_there_is() -> None:
    needed = sum(budget.parts(tiny(), 500).values())
    memory.check(needed, "this run", "", int(needed) + 1)
    with pytest.raises(InputError, match="this run takes at least"):
        memory.check(needed, "this run", "", int(needed) - 1)


def test_memory_is_that_of_the_machine_or_less() -> None:
    assert 2**28 < memory.there_are() < 2**50


def test_the_points_of_a_mixture_are_counted_before_they_are_drawn() -> None:
    with pytest.raises(InputError, match=r"data.dim=1000000 takes at least 252 GiB"):
        plan(compose(["data=mixture", "model=resmlp", "data.dim=1000000"]))
