"""Low-rank adapters: they begin as the network, only they move, and a checkpoint holds plain weights."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from diffmem.compare.targets.open import open_targets
from diffmem.compare.targets.read_images import ImagePaths
from diffmem.config.settings import Config
from diffmem.diffusion.process import Process
from diffmem.errors import InputError
from diffmem.runs import load_run
from diffmem.store import RunDir
from diffmem.training import lora, pack, snapshot
from diffmem.training.initial import initial_state, network, trained
from diffmem.training.kernels import Kernels
from diffmem.training.plan import plan
from diffmem.training.session import execute
from diffmem.training.sizes import sizes
from diffmem.training.step import prepare
from diffmem.training.train import train
from tests.helpers.tiny import outcome_bytes, tiny

pytestmark = pytest.mark.skipif(
    os.environ.get("DIFFMEM_NEED_PEFT") != "1" and importlib.util.find_spec("peft") is None,
    reason="peft is not installed: tests/adapters.sh installs it and runs this test",
)
CPU = torch.device("cpu")
RANK = 2


def settings(out: Path | None, init: str = "run@1", **train_options: object) -> Config:
    options = {"init": init, "lora_rank": RANK, "ema": "power", "ema_sigma": 0.1, **train_options}
    return tiny(out, data={"classes": [5, 6, 7, 8, 9]}, train=options, eval={"weights": "ema"})


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    planned = plan(tiny(tmp_path_factory.mktemp("before"), train={"steps": 3}))
    assert execute(planned).status == "complete"
    return planned.run


@pytest.fixture(scope="module")
def run(before: RunDir, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    planned = plan(settings(tmp_path_factory.mktemp("after"), f"{before.path}@3"))
    assert execute(planned).status == "complete"
    return planned.run


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(5, 1, 8, 8, generator=generator), torch.arange(5)


def test_it_begins_as_the_network_it_is_put_into() -> None:
    config = settings(None)
    plain, adapted = network(config, CPU).eval(), initial_state(config, CPU).model.eval()
    assert torch.equal(plain(*inputs()), adapted(*inputs()))
    merged = lora.merged(adapted)
    assert merged.keys() == plain.state_dict().keys()
    assert all(torch.equal(merged[name], weight) for name, weight in plain.state_dict().items())


def test_only_adapters_move_and_the_merged_network_is_the_adapted_one() -> None:
    config = settings(None)
    start, state = network(config, CPU).state_dict(), initial_state(config, CPU)
    images = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    for moment in train(state, prepare(state, images, Process.from_config(config.diffusion), config, Kernels())):
        if moment.step == 6:
            break
    merged, adapted = snapshot.plain(state, snapshot.RAW, config).eval(), state.model.eval()
    torch.testing.assert_close(merged(*inputs()), adapted(*inputs()), rtol=1e-5, atol=1e-5)
    layers = {name: layer for name, layer in merged.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    moved = {name: weight - start[name] for name, weight in merged.state_dict().items()}
    for name, change in moved.items():
        layer, _, part = name.rpartition(".")
        if layer not in layers or part == "bias":
            assert not change.any(), name
        else:
            singular = torch.linalg.svdvals(change.double().flatten(1))
            assert (singular[RANK:] < 1e-5 * (1 + singular[0])).all(), name
    assert sum(bool(change.any()) for change in moved.values()) > len(layers) / 2
    assert len(trained(state.model)) == 2 * len(layers)


def test_the_same_seed_draws_the_same_adapters_and_another_does_not() -> None:
    one, other = (
        [
            weight.detach()
            for weight in trained(initial_state(tiny(seed=seed, train={"init": "r@1", "lora_rank": 2}), CPU).model)
        ]
        for seed in (0, 1)
    )
    again = trained(initial_state(settings(None), CPU).model)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_run_that_was_left_goes_on_to_the_same_bytes(before: RunDir, run: RunDir, tmp_path: Path) -> None:
    for steps in (11, 24):
        planned = plan(settings(tmp_path, f"{before.path}@3", steps=steps))
        assert execute(planned).status == "complete"
    found, expected = outcome_bytes(planned.run.path), outcome_bytes(run.path)
    assert {name for name in expected if found.get(name) != expected[name]} <= {"resume.json"}


def test_a_damaged_checkpoint_is_made_anew(run: RunDir) -> None:
    (file,) = run.checkpoint_path(24).glob("*.safetensors")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    config = Config.from_stored(run.read_config())
    with pytest.warns(UserWarning, match="is made anew"):
        execute(plan(config))
    assert file.read_bytes() == whole


def test_checkpoints_are_plain_networks_to_everyone(run: RunDir) -> None:
    from diffusers.models.unets.unet_2d import UNet2DModel

    theirs = UNet2DModel.from_pretrained(run.checkpoint_path(24) / "ema").eval()
    ours = load_run(run.path).model(24, "ema")
    assert torch.equal(theirs(*inputs()).sample, ours(*inputs()))
    (target,) = open_targets([f"{run.path}@24"], ImagePaths())
    assert target.load is not None
    assert target.draw(3, target.load(CPU)).shape == (3, 1, 8, 8)


def test_the_rank_is_part_of_what_the_run_is_known_by(run: RunDir, before: RunDir, tmp_path: Path) -> None:
    names = {rank: plan(settings(tmp_path, f"{before.path}@3", lora_rank=rank)).run.name for rank in (1, RANK, None)}
    assert names[RANK] == run.name
    assert len(set(names.values())) == 3


def test_the_files_are_as_long_as_is_said_before(run: RunDir) -> None:
    said = sizes(Config.from_stored(run.read_config()))
    assert said.resume == len(run.resume_path(24).read_bytes())


def test_it_is_refused_where_it_cannot_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: RunDir) -> None:
    assert pack.obstacle(settings(None)) == "train.lora_rank=2"
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r"pip install 'diffmem\[peft\]'"):
        plan(settings(tmp_path, f"{before.path}@3"))
    assert not list(tmp_path.iterdir())
