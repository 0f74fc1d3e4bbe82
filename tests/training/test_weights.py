"""The weights that an evaluation is of: stored averages and rebuilt ones of a real run."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffmem.cli.main import main
from diffmem.config.compose import evaluation_grid
from diffmem.config.settings import Config
from diffmem.data import load, split
from diffmem.diffusion.process import Process
from diffmem.errors import InputError
from diffmem.runs import load_run
from diffmem.store import RunDir
from diffmem.training import average, posthoc, weights
from diffmem.training.initial import initial_state
from diffmem.training.kernels import Kernels
from diffmem.training.plan import plan, plan_evaluation
from diffmem.training.session import execute
from diffmem.training.step import prepare
from diffmem.training.train import train
from tests.helpers.tiny import CHECKPOINTS, outcome_bytes, tiny

CPU = torch.device("cpu")
STORED: dict[str, Any] = {"weights": "posthoc", "ema_sigma": 0.1}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    planned = plan(tiny(tmp_path_factory.mktemp("runs"), train={"ema": "posthoc"}, eval=STORED))
    assert execute(planned).status == "complete"
    return planned.run


def asked(run: RunDir, *words: str) -> list[Config]:
    return evaluation_grid(run.read_config(), list(words), run.config_path)


def test_a_stored_width_gives_the_rows_of_a_run_that_averages_so(run: RunDir, tmp_path: Path) -> None:
    power = plan(tiny(tmp_path, train={"ema": "power", "ema_sigma": 0.1}, eval={"weights": "ema"}))
    assert execute(power).status == "complete"
    assert power.run.primary.metrics_path.read_bytes() == run.primary.metrics_path.read_bytes()
    for step in CHECKPOINTS:
        one, other = (path.checkpoint_path(step) for path in (run, power.run))
        file = "diffusion_pytorch_model.safetensors"
        assert (one / "ema_0.100" / file).read_bytes() == (other / "ema" / file).read_bytes()


def test_a_run_that_was_left_goes_on_to_the_same_bytes(run: RunDir, tmp_path: Path) -> None:
    for steps in (11, 24):
        planned = plan(tiny(tmp_path, train={"ema": "posthoc", "steps": steps}, eval=STORED))
        assert execute(planned).status == "complete"
    found, expected = outcome_bytes(planned.run.path), outcome_bytes(run.path)
    assert {name for name in expected if found.get(name) != expected[name]} <= {"resume.json"}


@pytest.mark.parametrize("sigma", [0.07, 0.15])
def test_a_rebuilt_average_is_the_tracked_one_to_the_predicted_error(run: RunDir, sigma: float) -> None:
    """|error| <= residual ||p|| ||weights - their best line||, weight by weight (Cauchy and Schwarz)."""
    settings = tiny(train={"ema": "power", "ema_sigma": sigma})
    images = split(load(settings.data), settings.data).train
    state = initial_state(settings, CPU)
    step = prepare(state, images, Process.from_config(settings.diffusion), settings, Kernels())
    path = []
    for moment in train(state, step):
        path.append(torch.cat([weight.detach().double().flatten() for weight in moment.model.parameters()]).numpy())
        if moment.step == CHECKPOINTS[-1]:
            break
    trajectory = np.stack(path[1:])
    line = np.stack([np.ones(len(trajectory)), np.arange(len(trajectory))], axis=1)
    bent = np.linalg.norm(trajectory - line @ np.linalg.lstsq(line, trajectory, rcond=None)[0], axis=0)
    tracked = torch.cat([weight.flatten() for weight in state.averages["ema"].values()]).numpy()
    model = load_run(run.path).model(CHECKPOINTS[-1], "posthoc", sigma)
    error = np.abs(torch.cat([weight.detach().flatten() for weight in model.parameters()]).numpy() - tracked)
    gamma, last = average.exponent(sigma), CHECKPOINTS[-1]
    size = posthoc.inner(last, gamma, last, gamma) ** 0.5
    residual = posthoc.solve(tuple(CHECKPOINTS[1:]), sigma).residual
    assert (error <= residual * size * bent + 1e-5 * np.abs(tracked) + 1e-7).all()
    assert error.max() > 0.01 * residual * size * bent.max()  # or the bound would say nothing


def test_every_width_is_an_evaluation_of_its_own(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(run.path), "eval.weights=posthoc", "eval.ema_sigma=0.05,0.12"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "eval.ema_sigma=0.12: no rows at step 2" in err
    ids = [config.eval_id() for config in asked(run, *words[2:])]
    assert len(set(ids)) == 2
    for eval_id in ids:
        assert eval_id in out
    stored, rebuilt = (run.evaluation(eval_id).read_rows() for eval_id in ids)
    assert [row["step"] for row in stored] == CHECKPOINTS
    assert not any("ema_residual" in row for row in stored)
    made = [row["step"] for row in rebuilt]
    assert made == weights.steps(run, asked(run, *words[2:])[1])
    assert {0, CHECKPOINTS[-1]} < set(made) < set(CHECKPOINTS)
    assert all(row["ema_residual"] <= posthoc.LIMIT for row in rebuilt)
    assert rebuilt[0]["loss_test_t2"] == stored[0]["loss_test_t2"]  # before any step
    assert rebuilt[-1]["loss_test_t2"] != stored[-1]["loss_test_t2"]
    assert main(words) == 0
    assert capsys.readouterr().out.count("nothing to do") == 2


def test_other_weights_leave_the_width_out(run: RunDir) -> None:
    (raw,) = asked(run, "eval.weights=raw")
    assert raw.eval.ema_sigma is None
    assert raw.eval_id() == tiny().eval_id()


def test_what_cannot_be_rebuilt_is_refused_with_its_residual(run: RunDir) -> None:
    (narrow,) = asked(run, "eval.ema_sigma=0.001")
    residual = posthoc.solve(tuple(CHECKPOINTS[1:]), 0.001).residual
    with pytest.raises(InputError, match=rf"eval.ema_sigma=0.001 cannot be rebuilt .* {residual:.2f}, .*per_decade"):
        plan_evaluation(run, narrow)


def test_a_damaged_checkpoint_on_the_way_is_named_before_a_row_is_written(run: RunDir, tmp_path: Path) -> None:
    copy = RunDir(tmp_path / run.name)
    shutil.copytree(run.path, copy.path)
    (file,) = (copy.checkpoint_path(6) / "ema_0.050").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-1])
    assert main(["evaluate", str(copy.path), "eval.ema_sigma=0.13"]) == 2
    (config,) = asked(copy, "eval.ema_sigma=0.13")
    assert not copy.evaluation(config.eval_id()).metrics_path.exists()


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ({"train": {"ema": "posthoc"}, "eval": {"weights": "ema"}}, "stores two: use eval.weights=posthoc"),
        ({"train": {"ema": "power", "ema_sigma": 0.1}, "eval": STORED}, "needs the averages that train.ema=posthoc"),
        ({"train": {"ema": "posthoc"}, "model": {"spectral_norm": 1.0}}, "train.ema=posthoc adds averages of weights"),
        ({"train": {"ema": "posthoc"}, "eval": {"weights": "posthoc"}}, "set eval.ema_sigma, such as 0.1"),
        ({"eval": {"ema_sigma": 0.1}}, "eval.ema_sigma=0.1 is the width of eval.weights=posthoc"),
        ({"train": {"ema": "posthoc"}, "eval": {"weights": "posthoc", "ema_sigma": 0.3}}, "eval.ema_sigma=0.3"),
    ],
)
def test_settings_that_do_not_go_together(groups: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        tiny(**groups)


def test_a_run_does_not_begin_with_an_average_of_its_end(tmp_path: Path) -> None:
    config = tiny(tmp_path, train={"ema": "posthoc"}, eval=STORED | {"ema_sigma": 0.2})
    with pytest.raises(InputError, match=r"eval.ema_sigma=0.2 is rebuilt .* train with eval.ema_sigma=0.05 or 0.1"):
        plan(config)
    assert not list(tmp_path.iterdir())


def test_the_averages_count_in_the_id_of_a_run_and_no_width_does(run: RunDir) -> None:
    plain = tiny()
    kept = tiny(train={"ema": "posthoc"})
    assert kept.run_id("a") != plain.run_id("a")
    assert replace(kept, eval=replace(kept.eval, **STORED)).run_id("a") == kept.run_id("a")
    assert "ema_sigma" not in kept.to_mapping()["train"]
    assert Config.from_stored(run.read_config()).to_mapping() == run.read_config()
