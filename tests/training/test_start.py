"""Going on from another network: which it is, what it is told apart by, and what its own step 0 is for."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from diffmem.analysis.tables.family import check_one_family, read_table
from diffmem.analysis.times.curves import bias_curves, family_curves
from diffmem.config.settings import Config
from diffmem.errors import InputError
from diffmem.runs import load_run
from diffmem.store import RunDir
from diffmem.training import start
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers.tiny import CHECKPOINTS, outcome_bytes, tiny

POWER = {"ema": "power", "ema_sigma": 0.1}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run on digits 0 to 4."""
    return trained(tiny(tmp_path_factory.mktemp("before"), data={"classes": [0, 1, 2, 3, 4]}, train=POWER))


def trained(config: Config) -> RunDir:
    planned = plan(config)
    assert execute(planned).status == "complete"
    return planned.run


def going_on(out: Path, init: str | Path, **train: object) -> Config:
    """Digits 5 to 9 from `init`, its step 24 where it is a run."""
    return tiny(out, data={"classes": [5, 6, 7, 8, 9]}, train={"init": str(init), **train})


@pytest.fixture(scope="module")
def run(before: RunDir, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return trained(going_on(tmp_path_factory.mktemp("after"), f"{before.path}@24"))


@pytest.mark.parametrize("weights", ["raw", "ema"])
def test_it_begins_with_the_weights_of_that_step(before: RunDir, tmp_path: Path, weights: str) -> None:
    config = going_on(tmp_path, f"{before.path}@11", init_weights=weights, steps=1)
    begun = load_run(trained(config).path).model(0).state_dict()
    for name, weight in load_run(before.path).model(11, weights).state_dict().items():
        assert torch.equal(weight, begun[name])


def test_it_is_known_by_content_and_not_by_place(before: RunDir, run: RunDir, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(before.path, moved)

    def name(init: str | Path, **train: object) -> str:
        return plan(going_on(tmp_path, init, **train)).run.name

    assert name(f"{moved}@24") == run.name
    assert run.read_meta()["init"] == {"sha256": start.sha256(going_on(tmp_path, f"{moved}@24"))}
    others = {name(f"{moved}@20"), name(f"{moved}@24", init_weights="ema"), run.name}
    assert len({*others, plan(tiny(tmp_path, data={"classes": [5, 6, 7, 8, 9]})).run.name}) == 4


def test_a_run_goes_on_where_the_network_was_moved_to(before: RunDir, run: RunDir, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(before.path, moved)
    first = trained(going_on(tmp_path / "runs", f"{before.path}@24", steps=11))
    assert trained(going_on(tmp_path / "runs", f"{moved}@24")) == first
    assert first.read_config()["train"]["init"] == f"{moved}@24"
    found, expected = outcome_bytes(first.path), outcome_bytes(run.path)
    assert {name for name in expected if found.get(name) != expected[name]} <= {"resume.json"}


def test_its_null_is_what_it_did_before_it_saw_these_images(run: RunDir, tmp_path: Path) -> None:
    rows = run.primary.read_rows()
    assert [row["step"] for row in rows] == CHECKPOINTS
    (plain,) = trained(tiny(tmp_path, data={"classes": [5, 6, 7, 8, 9]}, train={"steps": 1})).primary.read_rows()[:1]
    for share, parts in (("f_mem", ("", "_count", "_total", "_low", "_high")), ("p_train", ("", "_low", "_high"))):
        for part in parts:
            assert {row[f"{share}_null{part}"] for row in rows} == {rows[0][share + part]}
            assert {row[f"{share}_heldout{part}"] for row in rows} == {plain[f"{share}_null{part}"]}
    assert rows[0]["p_train_null"] != rows[0]["p_train_heldout"]
    family = read_table(run.path)
    (curve,), (bias,) = family_curves(family), bias_curves(family)
    assert curve.null == (rows[0]["f_mem_count"], rows[0]["f_mem_total"])
    assert bias is not None
    assert isinstance(bias.null, tuple)
    assert bias.null[0] / bias.null[1] == pytest.approx(rows[0]["p_train"])


def test_runs_that_go_on_from_some_network_are_a_family_and_others_are_none() -> None:
    def of(*inits: str | None) -> pd.DataFrame:
        return pd.DataFrame({"settings": [{"data.n": 8, "train.init": init} for init in inits]})

    check_one_family(of("a@1", "b@1"))
    with pytest.raises(InputError, match=r"they differ in train.init"):
        check_one_family(of("a@1", None))


def saved_by_diffusers(folder: Path, beta_end: float = 0.02, **config: object) -> Path:
    """A pipeline of the tiny U-Net, as diffusers writes it."""
    from diffusers import DDPMScheduler
    from diffusers.models.unets.unet_2d import UNet2DModel

    from diffmem.models import build

    network = build(tiny().model, (1, 8, 8)).net
    assert isinstance(network, UNet2DModel)
    network.save_pretrained(folder / "unet")
    schedule: Any = DDPMScheduler(num_train_timesteps=20, beta_end=beta_end, **config)
    schedule.save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text('{"_class_name": "DDPMPipeline"}')
    return folder


def test_a_folder_of_diffusers_is_a_beginning(tmp_path: Path) -> None:
    folder = saved_by_diffusers(tmp_path / "pipeline")
    planned = {init: plan(going_on(tmp_path / "runs", init)) for init in (folder, folder / "unet")}
    assert len({one.run.name for one in planned.values()}) == 1
    begun = load_run(trained(going_on(tmp_path / "runs", folder, steps=1)).path).model(0)
    from safetensors.torch import load_file

    for name, weight in load_file(folder / "unet" / "diffusion_pytorch_model.safetensors").items():
        assert torch.equal(weight, dict(begun.named_parameters())[f"net.{name}"])


def test_a_folder_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    noisy = saved_by_diffusers(tmp_path / "noisy", beta_end=0.03)
    other = saved_by_diffusers(tmp_path / "other", prediction_type="v_prediction")
    whole = saved_by_diffusers(tmp_path / "whole")
    (tmp_path / "empty").mkdir()
    for init, train, says in (
        (noisy, {}, "another noise schedule"),
        (other, {}, "predicts v_prediction, and this run epsilon"),
        (whole, {"init_weights": "ema"}, "train.init_weights=ema is of a run's checkpoint"),
        (tmp_path / "empty", {}, "holds no UNet2DModel"),
        (tmp_path / "none", {}, "is no folder, and no RUN@STEP"),
    ):
        with pytest.raises(InputError, match=says):
            plan(going_on(tmp_path / "runs", init, **train))
    wide = tiny(tmp_path / "runs", model={"width": 8}, train={"init": str(whole)})
    with pytest.raises(InputError, match="block_out_channels"):
        plan(wide)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("groups", "step", "says"),
    [
        ({"model": {"width": 8}}, 24, "has model.width=4, and this run 8: set model.width=4"),
        ({"diffusion": {"T": 30}}, 24, "has diffusion.T=20, and this run 30"),
        ({"data": {"labels": True}, "model": {"classes": 10}}, 24, "has model.classes=null, and this run 10"),
        ({}, 23, "step_00000023 is missing"),
    ],
)
def test_a_run_that_does_not_fit_is_refused(
    before: RunDir, tmp_path: Path, groups: dict[str, Any], step: int, says: str
) -> None:
    config = tiny(tmp_path / "runs", **groups, train={"init": f"{before.path}@{step}"})
    with pytest.raises(InputError, match=says):
        plan(config)
    assert not (tmp_path / "runs").exists()


def test_a_checkpoint_folder_is_named_as_a_step(before: RunDir, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"name it as train.init={before.path}@24"):
        plan(going_on(tmp_path, before.checkpoint_path(24)))


def test_options_that_need_a_beginning() -> None:
    for train, says in (
        ({"lora_rank": 2}, "train.lora_rank=2 needs"),
        ({"init_weights": "ema"}, "init_weights=ema needs"),
    ):
        with pytest.raises(InputError, match=says):
            tiny(train=train)
    with pytest.raises(InputError, match=r"averages of weights, and train.lora_rank trains"):
        tiny(train={"init": "run@1", "lora_rank": 2, "ema": "posthoc"})


def test_runs_without_one_keep_their_ids() -> None:
    stored = tiny().to_mapping()["train"]
    assert not {"init", "init_weights", "lora_rank"} & stored.keys()
    assert tiny().run_id("a", None) == tiny().run_id("a")
