"""Every config composes and a run of it trains three steps and is measured; every point of every grid is valid."""

from pathlib import Path

import pytest
import torch

from diffmem.config.compose import compose, compose_grid, groups
from diffmem.store import RunDir
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers.image_files import random_images, write_fashion, write_folder
from tests.helpers.tiny import OVERRIDES

# what makes a run of any config short; the group under test is not overridden
SHORT = [
    *("train.steps=3", "train.batch=4", "grid.kind=log", "grid.first=3", "stop.f_mem=null", "device=cpu", "threads=1"),
    *("eval.samples=128", "eval.test_images=64", "eval.keep_samples=2", "eval.t=[20]"),
]
SMALL_UNET = ["model=unet_tiny", "model.width=8", "model.groups=4"]
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
        "fashion_mnist": write_fashion(folder / "clothes", random_images(2200, 28, 28), random_images(10, 28, 28)),
    }


def overrides(group: str, name: str, roots: dict[str, Path]) -> list[str]:
    """A short run with the config `name` of `group`."""
    data = {"study": "celeba"}.get(name, name)
    words = [*SHORT, f"data.root={roots[data]}"] if data in roots else list(SHORT)
    if group == "data":
        words += ["data.n=8", *(["model=resmlp"] if name == "mixture" else SMALL_UNET)]
    elif group == "model":
        words += ["data.n=8", *(["data=mixture"] if name == "resmlp" else ["model.width=8"])]
    elif group == "experiment":
        words += ["data.n=8", "model.width=8"]
        words += ["model.multipliers=[1,2]", "model.blocks=1", "model.attention=[]"] if name == "study" else []
    else:
        tiny = [word for word in OVERRIDES if word.partition("=")[0] not in (group, "diffusion.T", "optimizer.lr")]
        words = [word for word in tiny if not word.startswith(("train.steps", f"{group}."))] + ["train.steps=3"]
        words += ["eval.samples=128", "eval.test_images=64"]
    if group == "sampler" or name in ("study", "full"):
        words += ["sampler.calls=2", "eval.samples=128"]
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


@pytest.mark.slow
@pytest.mark.parametrize("name", groups()["experiment"])
def test_every_experiment_is_a_valid_grid(name: str) -> None:
    grid = compose_grid([f"experiment={name}"])
    points = {(config.data.n, config.seed) for config in grid}
    assert len(points) == len(grid)
    assert len({config.data.n for config in grid}) > 4
    assert all(config.data.index == config.seed for config in grid)  # a replicate is another subset and another seed
    assert {config.out_folder for config in grid} == {f"runs/{name}"}


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
    assert set(rows[-1]) == {"step", "loss_train_t7", "loss_test_t7", "loss_gen_t7"}
    assert not (planned.run.path / "samples").exists()
