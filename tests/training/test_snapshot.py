"""What is stored of a network whose layers are held: ordinary weights in a checkpoint, all of it in a resume point."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from diffmem.config.settings import Config
from diffmem.data import load, split
from diffmem.diffusion.process import Process
from diffmem.store import RunDir
from diffmem.training import pack, snapshot
from diffmem.training.initial import State, initial_state
from diffmem.training.kernels import Kernels
from diffmem.training.step import choose_repeating, prepare
from diffmem.training.train import train
from tests.helpers.tiny import tiny

CPU = torch.device("cpu")
HELD: dict[str, Any] = {"model": {"spectral_norm": 0.8}, "train": {"ema": "power", "ema_sigma": 0.1}}


def advanced(config: Config, until: int, state: State | None = None) -> State:
    state = state or initial_state(config, CPU)
    data = split(load(config.data), config.data).train
    for moment in train(state, prepare(state, data, Process.from_config(config.diffusion), config, Kernels())):
        if moment.step == until:
            break
    return state


@pytest.mark.parametrize("weights", ["raw", "ema"])
def test_a_checkpoint_is_diffusers_own_and_every_layer_of_it_has_the_norm(weights: str, tmp_path: Path) -> None:
    from diffusers import UNet2DModel

    config, run = tiny(**HELD), RunDir(tmp_path)
    state = advanced(config, 6)
    snapshot.write_checkpoint(state, config, split(load(config.data), config.data), run)
    folder = run.checkpoint_path(6) / ("ema" if weights == "ema" else "")
    theirs, notes = UNet2DModel.from_pretrained(folder, output_loading_info=True)
    assert not notes["missing_keys"] + notes["unexpected_keys"]
    for layer in theirs.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            assert torch.linalg.svdvals(layer.weight.flatten(1))[0].item() == pytest.approx(0.8, rel=1e-5)
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([1, 15])
    stored = snapshot.read_checkpoint(run.checkpoint_path(6), config, weights)
    with torch.no_grad():
        expected = snapshot.plain(state, weights, config).eval()(x, t)
        assert expected.equal(stored(x, t))
        assert expected.equal(theirs.eval()(x, t).sample)
        near = state.model.eval()(x, t)
    assert (near - expected).abs().max() < (0.2 if weights == "raw" else 1) * expected.std()


def test_a_resumed_run_goes_on_to_the_bit_with_the_vectors_of_its_power_iterations() -> None:
    config = tiny(**HELD)
    halfway = snapshot.from_bytes(3, snapshot.to_bytes(advanced(config, 3)), config, CPU)
    assert any(name.endswith("._u") for name, _ in halfway.model.named_buffers())
    assert snapshot.to_bytes(advanced(config, 7, halfway)) == snapshot.to_bytes(advanced(config, 7))


def test_trying_kernels_moves_no_vector() -> None:
    config = tiny(**HELD)
    state = advanced(config, 2)
    before = snapshot.to_bytes(state)
    step = prepare(state, torch.zeros(8, 1, 8, 8), Process.from_config(config.diffusion), config, Kernels())
    choose_repeating(step.body)  # type: ignore[attr-defined]
    assert snapshot.to_bytes(state) == before


def test_held_layers_keep_a_run_out_of_a_pack() -> None:
    assert pack.obstacle(tiny()) is None
    assert pack.obstacle(tiny(**HELD)) == "model.spectral_norm=0.8"
