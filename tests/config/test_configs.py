"""Every config composes and a run of it trains three steps and is measured; every point of every grid is valid."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from diffmem.config.compose import compose, compose_grid, groups
from diffmem.data import load
from diffmem.runs import load_run
from diffmem.store import RunDir
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers.image_files import random_images, write_cifar_binary, write_fashion, write_folder, write_hub
from tests.helpers.tiny import OVERRIDES

# what makes a run of any config short; the group under test is not overridden
SHORT = [
    *("train.steps=3", "train.batch=4", "grid.kind=log", "grid.first=3", "stop.f_mem=null", "device=cpu", "threads=1"),
    *("eval.samples=128", "eval.test_images=64", "eval.keep_samples=2", "eval.t=[20]", "eval.loss_draws=64"),
]
SMALL_UNET = ["model=unet_tiny", "model.width=8", "model.groups=4"]
OWN = {"array": ["data.size=8", "data.range=[-1,1]"], "latents": ["data.size=4"], "hub": ["data.size=8"]}
KL = ("mixture_study", "mixture_width")  # experiments that measure the divergence
INTERVENTIONS = sorted(
    (name for name in groups()["experiment"] if name.startswith("interventions/")),
    key=lambda name: name != "interventions/control",
)
CHOICES = [(group, name) for group, names in groups().items() for name in names]


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small files for the sets that do not ship with a package."""
    folder = tmp_path_factory.mktemp("data")
    tensor = torch.rand(300, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    (folder / "celeba").mkdir()
    torch.save(tensor, folder / "celeba" / "CelebA32.pt")
    return {
        "celeba": folder / "celeba",
        "image_folder": write_folder(folder / "photos", random_images(300, 40, 36, 3)),
        "fashion_mnist": write_fashion(folder / "clothes", random_images(300, 28, 28), random_images(10, 28, 28)),
        "mnist": write_fashion(folder / "digits", random_images(300, 28, 28), random_images(10, 28, 28)),
        "cifar10": write_cifar_binary(folder / "cifar", 50),
        "orl_faces": write_folder(folder / "orl" / "s1", random_images(300, 11, 9), ".pgm").parent,
        "array": write_array(folder / "images.npy", np.random.default_rng(0).uniform(-1, 1, (300, 3, 8, 8))),
        "latents": write_array(folder / "latents.npy", np.random.default_rng(0).normal(0, 3, (300, 4, 4, 4))),
        "hub": write_hub(folder / "hub", random_images(300, 8, 8, 3)),
    }


def write_array(path: Path, values: np.ndarray) -> Path:
    np.save(path, values.astype(np.float32))
    return path


def overrides(group: str, name: str, roots: dict[str, Path]) -> list[str]:
    """A short run with the config `name` of `group`."""
    data = {"study": "celeba"}.get(name, name)
    words = [*SHORT, f"data.root={roots[data]}"] if data in roots else list(SHORT)
    if group == "data":
        words += ["data.n=8", *(["model=resmlp"] if name == "mixture" else SMALL_UNET), *OWN.get(name, [])]
    elif group == "model":
        words += ["data.n=8", *(["data=mixture"] if name == "resmlp" else ["model.width=8"])]
    elif group == "experiment":
        words += ["data.n=8", "model.width=8", *(["eval.kl_samples=8"] if name in KL else [])]
        words += ["model.multipliers=[1,2]", "model.blocks=1", "model.attention=[]"] if name == "study" else []
    else:
        tiny = [word for word in OVERRIDES if word.partition("=")[0] not in (group, "diffusion.T", "optimizer.lr")]
        words = [word for word in tiny if not word.startswith(("train.steps", f"{group}."))] + ["train.steps=3"]
        words += ["eval.samples=128", "eval.test_images=64"]
    if group == "sampler" or name in ("study", "full"):
        words += [f"sampler.calls={3 if name == 'heun' else 2}", "eval.samples=128"]
    elif group != "diffusion":
        words += ["sampler.calls=2"]
    return [f"{group}={name}", *words]


@pytest.mark.slow
@pytest.mark.parametrize(("group", "name"), CHOICES, ids=["=".join(choice) for choice in CHOICES])
def test_every_config_trains_three_steps(
    group: str, name: str, roots: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path / "cache"))
    config = compose([*overrides(group, name, roots), f"out={tmp_path / 'runs'}"])
    planned = plan(config)
    assert execute(planned).status == "complete"
    rows = RunDir(planned.run.path).primary.read_rows()
    assert [row["step"] for row in rows][:: len(rows) - 1] == [0, 3]
    assert {"f_mem", "f_mem_null", "f_mem_low", "f_mem_high"} <= set(rows[-1])
    assert any(key.startswith("fd_") for key in rows[-1])
    assert any(key.startswith("loss_gen_t") for key in rows[-1])
    assert ("R_t20" in rows[-1]) == (config.data.name == "mixture")


def test_a_set_of_ones_own_images_is_scaled_by_itself_and_the_study_is_not() -> None:
    model = {"mixture": ["model=resmlp"]}
    own = {name: compose([f"data={name}", *model.get(name, [])]).data.scale for name in groups()["data"]}
    assert own == {**dict.fromkeys(groups()["data"], "auto"), "digits": 2, "mixture": 1}
    assert compose(["experiment=study"]).data.scale == compose(["experiment=mixture"]).data.scale == 1


def test_an_automatic_scale_is_recorded_with_the_run_and_its_checkpoints(tmp_path: Path) -> None:
    planned = plan(compose([*OVERRIDES, "data.scale=auto", "train.steps=1", f"out={tmp_path}"]))
    execute(planned)
    run = load_run(planned.run.path)
    images = load(run.config.data).read(0, 8).double()
    assert run.scale == pytest.approx(float(images.std(correction=0)) ** -1, rel=1e-6)
    assert planned.run.read_meta()["data"]["scale"] == run.scale
    note = json.loads((planned.run.checkpoint_path(1) / "diffmem.json").read_text())
    assert note["scale"] == run.scale
    assert run.config.data.scale == "auto"
    assert plan(run.config).run == planned.run


@pytest.mark.slow
@pytest.mark.parametrize("name", groups()["experiment"])
def test_every_experiment_is_a_valid_grid(name: str) -> None:
    grid = compose_grid([f"experiment={name}"])
    points = {(config.data.n, config.model.width, config.seed) for config in grid}
    assert len(points) == len(grid)
    assert len({config.data.n for config in grid}) not in (0, 2)  # two say nothing of a law in n
    other = 100 if name == "interventions/placebo" else 0  # whose subset is the control's, and nothing else of a seed
    assert all(config.data.index + other == config.seed for config in grid)  # a replicate is another subset and seed
    assert {config.out_folder for config in grid} == {f"runs/{name}"}


@pytest.mark.slow
def test_an_intervention_changes_one_option_of_its_control() -> None:
    control, *arms = (compose([f"experiment={name}"]).to_mapping() for name in INTERVENTIONS)
    changed = {
        arm["experiment"]: {
            f"{group}.{key}"
            for group, values in arm.items()
            if isinstance(values, dict)
            for key, value in values.items()
            if value != control[group].get(key)
        }
        for arm in arms
    }
    assert changed.pop("interventions/placebo") == set()
    assert {name: len(options) for name, options in changed.items()} == dict.fromkeys(changed, 1)
    assert len(changed) == len({*map(frozenset, changed.values())}) == 10


@pytest.mark.slow
def test_an_override_replaces_the_experiments_axis_and_groups_can_be_axes() -> None:
    grid = compose_grid(["experiment=quickstart", "data.n=8,10", "optimizer=sgd,adam", "seed=0,1"])
    points = [(config.data.n, config.optimizer.name, config.seed) for config in grid]
    assert sorted(points) == [(n, name, seed) for n in (8, 10) for name in ("adam", "sgd") for seed in (0, 1)]
    assert len(compose_grid(["data.n=range(8,12,2)", "model.width=choice(8,16)"])) == 4


def test_a_model_of_one_fixed_t_has_losses_only(tmp_path: Path) -> None:
    config = compose([*OVERRIDES, "train.t=7", "train.steps=3", f"out={tmp_path}"])
    planned = plan(config)
    execute(planned)
    rows = planned.run.primary.read_rows()
    assert set(rows[-1]) == {
        "step",
        "loss_train_t7",
        "loss_train_t7_se",
        "loss_test_t7",
        "loss_test_t7_se",
        "loss_gen_t7",
    }
    assert not (planned.run.path / "samples").exists()
