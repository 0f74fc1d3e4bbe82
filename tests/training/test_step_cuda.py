"""Where there is a GPU: the graph is used, gives the bits of eager steps, waits for nothing, and resumes to the bit."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from diffmem.config.settings import Config
from diffmem.diffusion.process import Process
from diffmem.training import machine, snapshot
from diffmem.training.initial import State, initial_state
from diffmem.training.kernels import Kernels
from diffmem.training.plan import plan
from diffmem.training.session import execute
from diffmem.training.step import prepare
from diffmem.training.train import train
from tests.helpers.tiny import outcome_bytes, same_bytes, tiny

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
    pytest.mark.filterwarnings("error"),  # a graph that is left says so
]

ATTENTION = {"multipliers": [1, 2], "attention": [2], "mid_attention": True, "heads": 2, "dropout": 0.3}
MLP: dict[str, Any] = {
    "data": {"name": "mixture", "n": 8, "dim": 4, "mu": 1.0, "sigma": 1.0, "size": None, "channels": None},
    "model": {"name": "resmlp", "width": 8, "multipliers": None, "mid_attention": None, "groups": None},
}
AVERAGED = {"ema": "power", "ema_sigma": 0.1}
SETTINGS: dict[str, dict[str, Any]] = {
    "unet": {"train": AVERAGED},
    "attention and dropout": {"model": ATTENTION, "train": AVERAGED},
    "tf32": {"model": ATTENTION, "train": {"precision": "tf32", "ema": 0.9}},
    "bf16": {"model": ATTENTION, "train": {"precision": "bf16", "channels_last": True}},
    "reference, sgd": {
        "model": {**ATTENTION, "name": "unet_reference"},
        "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "clip": 0.5},
    },
    "resmlp": MLP,
}


@pytest.fixture(params=SETTINGS)
def groups(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    yield {**SETTINGS[request.param], "device": "cuda"}
    torch.cuda.set_sync_debug_mode("default")


def with_train(groups: dict[str, Any], **options: object) -> Config:
    return tiny(**{**groups, "train": {**groups.get("train", {}), **options}})


def advance(config: Config, until: int, state: State | None = None, graph: bool = True) -> State:
    device = machine.configure(config)
    state = state or initial_state(config, device)
    images = torch.randn(config.data.n, *config.data.shape, generator=torch.Generator().manual_seed(0)).to(device)
    process = Process.from_config(config.diffusion).to(device)
    step = prepare(state, images, process, config, Kernels())
    assert step.graph == graph
    for moment in train(state, step):
        if moment.step == 2:
            torch.cuda.set_sync_debug_mode("error")  # from here on a step that waits for the device fails
        if moment.step == until:
            break
    torch.cuda.set_sync_debug_mode("default")
    return state


def test_a_graph_gives_the_bits_of_eager_steps(groups: dict[str, Any]) -> None:
    graph, eager = advance(with_train(groups), 20), advance(with_train(groups, graph="off"), 20, graph=False)
    assert snapshot.to_bytes(graph) == snapshot.to_bytes(eager)
    assert torch.equal(graph.loss, eager.loss)
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_state_read_back_goes_on_bit_for_bit(groups: dict[str, Any]) -> None:
    config = with_train(groups)
    part = advance(config, 7)
    again = snapshot.from_bytes(7, snapshot.to_bytes(part), config, torch.device("cuda", 0))
    assert snapshot.to_bytes(advance(config, 20, again)) == snapshot.to_bytes(advance(config, 20))


def test_a_run_that_was_left_ends_with_the_bytes_of_one_that_was_not(tmp_path: Path) -> None:
    def run(out: Path, steps: int) -> dict[str, bytes]:
        model = {**ATTENTION, "multipliers": [1], "attention": [1]}
        planned = plan(tiny(out, model=model, train={**AVERAGED, "steps": steps}, device="cuda"))
        execute(planned)
        (*_, segment) = planned.run.read_meta()["segments"]
        assert segment["graph"]
        return outcome_bytes(planned.run.path)

    whole = run(tmp_path / "whole", 24)
    run(tmp_path / "part", 11)
    assert same_bytes(run(tmp_path / "part", 24), whole)


def test_a_recording_that_fails_is_left_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that looks at the device cannot be recorded."""
    config = tiny(device="cuda", train={"ema": 0.9})
    expected = snapshot.to_bytes(
        advance(with_train({"device": "cuda", "train": {"ema": 0.9}}, graph="off"), 9, graph=False)
    )
    own = torch.nn.functional.mse_loss

    def looking(*words: Any) -> torch.Tensor:
        loss = own(*words)
        assert float(loss.detach()) > -1
        return loss

    monkeypatch.setattr(torch.nn.functional, "mse_loss", looking)
    state = initial_state(config, machine.configure(config))
    images = torch.randn(8, *config.data.shape, generator=torch.Generator().manual_seed(0)).cuda()
    process = Process.from_config(config.diffusion).to("cuda")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        step = prepare(state, images, process, config, Kernels())
    assert not step.graph
    assert ["train.graph=auto is left" in str(one.message) for one in warned].count(True) == 1
    monkeypatch.undo()
    for moment in train(state, step):
        if moment.step == 9:
            break
    assert snapshot.to_bytes(state) == expected
