"""Runs trained together: the bytes of a run depend on no other, and differ from those of one by itself by rounding."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load

from diffmem.config.compose import compose
from diffmem.config.settings import Config
from diffmem.diffusion.process import Process
from diffmem.errors import InputError
from diffmem.executors.base import start
from diffmem.training import pack, snapshot
from diffmem.training.initial import Diverged, initial_state
from diffmem.training.kernels import Kernels
from diffmem.training.pack import Member, Pack
from diffmem.training.plan import plan
from diffmem.training.session import execute
from diffmem.training.step import Inputs, prepare
from tests.helpers.tiny import OVERRIDES, outcome_bytes, same_bytes

CPU = torch.device("cpu")
FLAT = ["data=mixture", "data.n=24", "data.dim=3", "model=resmlp", "model.width=8", "train.batch=8", "diffusion.T=20"]
SMALL = [*FLAT, "train.steps=24", "grid.per_decade=4", "grid.first=6", "sampler.calls=2", "eval.t=[2]", "threads=1"]
MEASURED = ["device=cpu", "train.t=7", "eval.test_images=20"]  # no samples: losses are what a row of these holds
CASES = {
    "resmlp": [*SMALL, "optimizer=adam", "train.ema=0.9"],
    "resmlp, clipped": [*SMALL, "optimizer=sgd", "optimizer.lr=0.1", "optimizer.clip=0.5"],
    "resmlp, v": [*SMALL, "diffusion.predict=v"],
    "resmlp, edm": [*SMALL, "diffusion=edm"],
    "unet": [*OVERRIDES],
}


def member(config: Config, seed: int, content: bytes | None = None, step: int = 0) -> Member:
    config = replace(config, seed=seed)
    images = torch.randn(config.data.n, *config.data.shape, generator=torch.Generator().manual_seed(seed))
    state = initial_state(config, CPU) if content is None else snapshot.from_bytes(step, content, config, CPU)
    state.model.train()
    return Member(state, Inputs(images, Process.from_config(config.diffusion), config), config)


def trained(members: Sequence[Member], steps: int) -> dict[int, bytes]:
    """The states, by seed, after `steps` together."""
    together = Pack(members)
    for _ in range(steps):
        together.step()
        for one in members:
            one.state.step += 1
    return {one.config.seed: snapshot.to_bytes(one.state) for one in members}


@pytest.mark.parametrize("words", CASES.values(), ids=CASES)
def test_neither_companions_nor_order_nor_number_change_a_bit(words: list[str]) -> None:
    config = compose([*words, "executor=here"])
    alone = trained([member(config, 0)], 9)[0]
    for seeds in ([0, 1], [3, 1, 0, 2, 4]):
        assert trained([member(config, seed) for seed in seeds], 9)[0] == alone
    halfway = trained([member(config, seed) for seed in (5, 0, 6)], 4)[0]  # left, and gone on with in another pack
    members = [member(config, 0, halfway, 4), *(member(config, seed) for seed in (7, 8, 9))]
    assert trained(members, 5)[0] == alone


@pytest.mark.parametrize("words", CASES.values(), ids=CASES)
def test_packed_and_by_itself_differ_by_rounding(words: list[str]) -> None:
    """Weights after a few steps, over the distance that they have gone."""
    config = compose([*words, "executor=here"])
    one = member(config, 0)
    start = load(snapshot.to_bytes(one.state))
    step = prepare(one.state, one.inputs._images, Process.from_config(config.diffusion), config, Kernels())
    for number in range(5):
        step(number)
        one.state.step += 1
    itself, packed = load(snapshot.to_bytes(one.state)), load(trained([member(config, 0), member(config, 1)], 5)[0])
    assert itself.keys() == packed.keys()
    for name, value in itself.items():
        if name.startswith(("model.", "ema.")):
            gone = float((value - start[name]).abs().max())
            assert float((packed[name] - value).abs().max()) <= 1e-3 * gone + 1e-6, name


def test_a_loss_that_is_not_finite_is_of_one_run_alone() -> None:
    config = compose([*CASES["resmlp, clipped"], "executor=here"])
    members = [member(config, seed) for seed in range(3)]
    with torch.no_grad():
        next(members[1].state.model.parameters()).fill_(float("nan"))
    assert trained(members, 3)[0] == trained([member(config, 0)], 3)[0]
    with pytest.raises(Diverged) as caught:
        members[1].state.check()
    assert caught.value.step == 1
    members[0].state.check()
    members[2].state.check()


def sweep(out: Path, seeds: Sequence[int], workers: int, **changed: Any) -> dict[int, Path]:
    """Runs of the mixture that an executor has trained together: seed -> directory."""
    words = [*SMALL, *MEASURED, "executor=pack", f"executor.workers={workers}", f"out={out}"]
    words += [f"{name}={value}" for name, value in changed.items()]
    plans = {seed: plan(compose([*words, f"seed={seed}"])) for seed in seeds}
    executor = start(plans[seeds[0]].config)
    futures = {seed: executor.submit(planned) for seed, planned in plans.items()}
    executor.close()
    assert {future.result().status for future in futures.values()} == {"complete"}
    return {seed: planned.run.path for seed, planned in plans.items()}


@pytest.mark.slow
def test_runs_leave_a_pack_and_others_take_their_place(tmp_path: Path) -> None:
    """Three through two places, and begun two at a time, then gone on with in another order: the same bytes."""
    once = sweep(tmp_path / "once", [0, 1, 2], 2)
    begun = sweep(tmp_path / "begun", [2, 1], 2, **{"train.steps": 6})
    again = sweep(tmp_path / "begun", [2, 1], 3)
    assert begun == again
    for seed in again:
        assert same_bytes(outcome_bytes(again[seed]), outcome_bytes(once[seed]))


@pytest.mark.slow
def test_a_run_says_that_it_was_packed_and_warns_where_it_goes_on_alone(tmp_path: Path) -> None:
    path = sweep(tmp_path, [0], 2, **{"train.steps": 6})[0]
    words = [*SMALL, *MEASURED, f"out={tmp_path}", "executor=here"]
    planned = plan(compose(words))
    assert planned.run.path == path
    assert planned.run.read_meta()["segments"][-1]["kernels"]["packed"] is True
    with pytest.warns(UserWarning, match="goes on under another kernels: equal to rounding"):
        execute(planned)
    assert "packed" not in planned.run.read_meta()["segments"][-1]["kernels"]


OBSTACLES = {
    "model.dropout=0.1": "dropout in model=unet",
    "model.mid_attention=true": "attention in model=unet",
    "train.precision=bf16": "train.precision=bf16",
    "eval.background=auto": "eval.background=auto",
    "train.channels_last=true": "train.channels_last=true",
}


@pytest.mark.parametrize("word", OBSTACLES)
def test_runs_that_cannot_be_packed_are_refused(word: str) -> None:
    config = compose([*OVERRIDES, "model.heads=2", word, "executor=pack"])
    assert pack.obstacle(config) == OBSTACLES[word]
    with pytest.raises(InputError, match="executor=pack trains runs together"):
        start(config)


def test_the_mixture_is_packed_where_nothing_else_is_asked_for() -> None:
    config = compose(["experiment=mixture"])
    assert config.executor.name == "pack"
    assert pack.obstacle(config) is None
