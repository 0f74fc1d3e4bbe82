"""A learning rate that goes down: shares of a step, resumed to the bit, and not told by how long the run is."""

from typing import Any

import pytest
import torch
from torch import Tensor

from diffmem.config.decay import decay_of
from diffmem.config.settings import Config
from diffmem.diffusion.process import Process
from diffmem.training import snapshot
from diffmem.training.initial import State, initial_state
from diffmem.training.kernels import Kernels
from diffmem.training.pack import Member, Pack
from diffmem.training.step import Inputs, prepare
from diffmem.training.train import train
from tests.helpers.tiny import tiny

CPU = torch.device("cpu")
MLP: dict[str, Any] = {
    "data": {"name": "mixture", "n": 8, "dim": 4, "mu": 1.0, "sigma": 1.0, "size": None, "channels": None},
    "model": {"name": "resmlp", "width": 8, "multipliers": None, "mid_attention": None, "groups": None},
}
SGD = {"name": "sgd", "lr": 0.5, "momentum": 0.0}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": SGD,
    "adam": {"lr": 0.01},
    "adamw": {"name": "adamw", "weight_decay": 0.1},
}


def config(optimizer: dict[str, Any], decay: str | None = "cosine:6", **train: int) -> Config:
    return tiny(**MLP, optimizer={**optimizer, "decay": decay}, train={"steps": 30, **train})


def images(of: Config) -> Tensor:
    return torch.randn(of.data.n, *of.data.shape, generator=torch.Generator().manual_seed(1))


def advanced(of: Config, until: int, state: State | None = None) -> State:
    state = state or initial_state(of, CPU)
    take = prepare(state, images(of), Process.from_config(of.diffusion), of, Kernels())
    for moment in train(state, take):
        if moment.step == until:
            break
    return state


def weights(state: State) -> Tensor:
    """A copy of them all."""
    return torch.nn.utils.parameters_to_vector(state.model.parameters()).detach().clone()


def test_each_step_is_its_share_of_a_step_at_the_full_rate() -> None:
    """Without momentum a step is the rate times the gradient: from the same weights, moves have the shares' ratio."""
    decaying, constant = config(SGD), config(SGD, None)
    for step in range(1, 6):
        state = advanced(decaying, step)
        before, content = weights(state), snapshot.to_bytes(state)
        moved = []
        for one in (decaying, constant):
            state = advanced(one, step + 1, snapshot.from_bytes(step, content, one, CPU))
            moved.append(weights(state) - before)
        torch.testing.assert_close(moved[0], decay_of("cosine:6").share(step) * moved[1], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_it_goes_on_to_the_bit_ends_where_it_says_and_knows_no_last_step(optimizer: dict[str, Any]) -> None:
    of = config(optimizer)
    whole = snapshot.to_bytes(advanced(of, 5))
    half = snapshot.from_bytes(3, snapshot.to_bytes(advanced(of, 3)), of, CPU)
    assert snapshot.to_bytes(advanced(of, 5, half)) == whole
    assert snapshot.to_bytes(advanced(config(optimizer, steps=5), 5)) == whole
    assert weights(advanced(of, 6)).equal(weights(advanced(of, 9)))


def test_a_rate_that_never_moves_gives_the_steps_of_a_constant_one() -> None:
    """cosine:10**10 is 1 to rounding: other code takes the step, and the same step."""
    slow, constant = (weights(advanced(config({"lr": 0.01}, decay), 5)) for decay in ("cosine:10000000000", None))
    torch.testing.assert_close(slow, constant, rtol=1e-6, atol=1e-7)


def test_runs_of_a_pack_have_each_its_own() -> None:
    def member(decay: str | None) -> Member:
        of = config(SGD, decay)
        state = initial_state(of, CPU)
        state.model.train()
        return Member(state, Inputs(images(of), Process.from_config(of.diffusion), of), of)

    members = [member("linear:4"), member(None), member("linear:2")]
    together = Pack(members)
    for _ in range(5):
        together.step()
        for one in members:
            one.state.step += 1
    for one, decay in zip(members, ("linear:4", None, "linear:2"), strict=True):
        torch.testing.assert_close(weights(one.state), weights(advanced(config(SGD, decay), 5)), rtol=1e-4, atol=1e-6)
