"""What a sweep will cost, against runs that were made, a network that counts its calls, and bounds of any schedule."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from diffmem.config.compose import compose
from diffmem.config.settings import Config
from diffmem.data import load, split
from diffmem.errors import InputError
from diffmem.store import RunDir
from diffmem.sweep.estimate import Estimate, estimate, evaluation_calls, planner, wall_seconds
from diffmem.sweep.estimate_table import as_mapping, described
from diffmem.sweep.grid import plan_grid
from diffmem.training import machine
from diffmem.training.beside import Beside, BesideCost
from diffmem.training.evaluate import Evaluator
from diffmem.training.left import Left, left
from diffmem.training.plan import plan
from diffmem.training.session import execute
from diffmem.training.speed import Speed
from tests.helpers.tiny import CHECKPOINTS, OVERRIDES, tiny

RATE = {"name": "here", "tflops": 0.001}


def cost_of(*configs: Config, workers: int = 1) -> Estimate:
    return estimate(plan_grid(configs, planner), workers)


def bytes_in(run: RunDir) -> int:
    return sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second is measured."""
    monkeypatch.setattr(BesideCost, "__call__", lambda *_: Beside(2.0, 0.5, 2500, 2600))


def test_steps_rows_and_disk_are_those_of_a_run_that_was_made(tmp_path: Path) -> None:
    half, whole = tiny(tmp_path, train={"steps": 11}, executor=RATE), tiny(tmp_path, executor=RATE)
    (before,) = cost_of(half).runs
    planned = plan(half)
    execute(planned)
    run = planned.run
    made = len(run.primary.read_rows())
    assert before.left == Left(-1, 11, made, made)
    assert before.disk == pytest.approx(bytes_in(run), rel=0.03)
    assert cost_of(half).runs[0].left == Left(11, 0, 0, 0)
    assert cost_of(half).runs[0].disk == 0

    (between,) = cost_of(whole).runs
    there = bytes_in(run)
    execute(plan(whole))
    assert between.left.steps == 13
    assert between.left.rows == len(run.primary.read_rows()) - made == 2
    assert between.disk == pytest.approx(bytes_in(run) - there, rel=0.03)
    assert left(plan(whole)).state == "over"

    lines = run.primary.metrics_path.read_bytes().splitlines(keepends=True)
    run.primary.metrics_path.write_bytes(b"".join(lines[:-2]))  # lost with a crash: they are measured again
    assert left(plan(whole)) == Left(24, 0, 0, 2)
    assert left(plan(tiny(tmp_path, eval={"samples": 150}))).rows == len(CHECKPOINTS)  # as other settings ask
    run.write_meta({**run.read_meta(), "measures": 1})  # made by earlier measures
    assert left(plan(whole)).rows == len(CHECKPOINTS)


def test_samples_are_as_long_as_those_that_were_written(tmp_path: Path) -> None:
    from diffmem.training.sizes import sizes

    for samples, keep in ((128, 5), (130, 200)):
        config = tiny(tmp_path, train={"steps": 1}, eval={"samples": samples, "keep_samples": keep}, seed=samples)
        execute(plan(config))
        files = list((plan(config).run.path / "samples").iterdir())
        assert {path.stat().st_size for path in files} == {sizes(config).samples}


def test_a_run_that_f_mem_has_stopped_is_over(tmp_path: Path) -> None:
    made = plan(tiny(tmp_path, train={"steps": 6}))
    execute(made)
    rows = made.run.primary.read_rows()
    made.run.primary.write_rows([{**row, "f_mem": 0.5 if row["step"] >= 4 else 0.0} for row in rows])
    for after, over in ((0, True), (1, True), (2, False)):  # rows at 4 and 6 are past the level
        found = left(plan(tiny(tmp_path, stop={"f_mem": 0.4, "after": after})))
        assert found == (Left(6, 0, 0, 0) if over else Left(6, 18, 3, 3))


@pytest.mark.parametrize(
    "words",
    [
        [*OVERRIDES, "eval.t=[2,5]"],
        [*OVERRIDES, "eval.test_images=100", "data.n=150", "sampler.calls=3"],
        [*OVERRIDES, "train.t=3", "eval.t=[2,5]"],
        ["data=mixture", "model=resmlp", "data.n=40", "sampler.calls=2", "eval.samples=20", "diffusion.T=400"],
    ],
    ids=["digits", "more images", "one time", "mixture"],
)
def test_images_through_the_network_are_those_that_an_evaluation_sends(words: list[str]) -> None:
    class Counting(nn.Module):
        images = 0

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            self.images += len(x)
            return x

    config = compose(words)
    dataset = load(config.data)
    evaluator, network = Evaluator(config, dataset, split(dataset, config.data), torch.device("cpu")), Counting()
    evaluator(network, 0)
    assert network.images == sum(evaluation_calls(config))
    if config.can_sample:
        assert evaluation_calls(config)[0] == config.eval.samples * config.sampler.calls


def test_the_operations_are_those_of_steps_and_images(quick: None, tmp_path: Path) -> None:
    from diffmem.training import flops

    config = tiny(tmp_path, executor=RATE)
    (run,) = cost_of(config).runs
    one, rows = flops.count(config.model, config.data.shape), len(CHECKPOINTS)
    assert run.train_flops == 24 * 4 * one.step
    assert run.sample_flops == rows * 128 * 2 * one.call
    assert run.loss_flops == rows * (64 + 64) * one.call  # draws of 8 and of 64 images
    assert run.train_seconds == pytest.approx(run.train_flops / 1e9)
    assert run.network_seconds == pytest.approx((run.sample_flops + run.loss_flops) / 1e9)
    assert run.beside_seconds == 2.0 + rows * 0.5


runs = st.lists(st.floats(0.0, 1e6), min_size=1, max_size=30)


@given(runs, st.integers(1, 40))
def test_no_schedule_is_shorter_and_none_in_turn_is_longer(seconds: list[float], workers: int) -> None:
    """Graham 1966: one worker's worth of the whole, and no more than the longest run beyond that."""
    wall = wall_seconds(seconds, workers)
    least = max(sum(seconds) / workers, max(seconds))
    assert least * (1 - 1e-9) <= wall <= sum(seconds) / workers + max(seconds) + 1e-6
    if workers == 1:
        assert wall == pytest.approx(sum(seconds))
    if workers >= len(seconds):
        assert wall == max(seconds)


def test_runs_go_to_the_worker_that_is_free_first() -> None:
    assert wall_seconds([4, 3, 2, 1], 2) == 5
    assert wall_seconds([1, 2, 3, 4], 2) == 6  # shortest first leaves one worker alone with the longest
    assert wall_seconds([5, 4, 3, 3, 3], 2) == 10


@pytest.mark.usefixtures("quick")
def test_each_shape_is_measured_once_and_300_runs_stay_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = {"steps": 0, "calls": 0}

    def count(name: str, seconds: float) -> Callable[..., float]:
        def measure(*_: object) -> float:
            measured[name] += 1
            return seconds

        return measure

    monkeypatch.setattr(Speed, "_step_of", count("steps", 60.0))
    monkeypatch.setattr(Speed, "_call_of", count("calls", 60.0))
    grid = [
        tiny(tmp_path, data={"n": n}, model={"width": width}, seed=seed)
        for n in range(8, 38)
        for width in (4, 8)
        for seed in range(5)
    ]
    cost = cost_of(*grid, workers=3)
    assert measured == {"steps": 2, "calls": 2}  # one a width: batch, model and data are the same
    assert [run.train_seconds for run in cost.runs] == [24 * 4 * 60.0] * 300
    text = described(cost)
    assert len(text.splitlines()) < 20
    assert max(map(len, text.splitlines())) <= 120
    assert re.search(r"^1-150 +150 +new +unet +8 +8-37 +4 +3,600 +1,050 ", text, re.MULTILINE)
    assert re.search(r"^151-300 +150 +new +unet +4 ", text, re.MULTILINE)
    whole = as_mapping(cost)
    assert json.loads(json.dumps(whole)) == whole
    assert [run["run"] for run in whole["runs"]] == [run.planned.run.name for run in cost.runs]
    assert whole["disk"] == sum(run["disk"] for run in whole["runs"]) > 0
    seconds = [sum(run["seconds"].values()) for run in whole["runs"]]
    assert whole["seconds"] == pytest.approx(wall_seconds(seconds, 3))
    assert not any(tmp_path.iterdir())


def test_a_slow_step_is_taken_in_proportion_from_fewer_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def measure(self: Speed, config: Config, images: int) -> float:
        tried.append(images)
        return 0.01 * images

    monkeypatch.setattr(Speed, "_step_of", measure)
    quick, slow = (tiny(tmp_path, data={"n": 1024}, train={"batch": batch}) for batch in (20, 1000))
    speed = Speed(torch.device("cpu"))
    assert speed.step(quick) == pytest.approx(0.2)
    assert tried == [1, 4, 16, 20]
    tried.clear()
    assert speed.step(slow) == pytest.approx(10.0)
    assert tried == [1, 4, 16, 64]  # 256 would take longer than a second
    assert speed.step(slow) == pytest.approx(10.0)
    assert len(tried) == 4


def test_what_does_not_fit_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> float:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(Speed, "_step_of", refuse)
    with pytest.raises(InputError, match=r"1 images at once do not fit the memory of cpu with model.width=4"):
        Speed(torch.device("cpu")).step(tiny(tmp_path))
    monkeypatch.setattr(machine, "memory_of", lambda _: 1000)
    with pytest.raises(InputError, match=r"too much to measure a step here.*give executor.tflops"):
        Speed(torch.device("cpu")).step(tiny(tmp_path))


def test_seconds_are_measured_on_this_machine_and_other_cores_are_kept_busy(tmp_path: Path) -> None:
    config = tiny(tmp_path)
    cost = cost_of(config, workers=2)
    (run,) = cost.runs
    assert run.train_seconds > 0
    assert run.network_seconds > 0
    assert run.beside_seconds > 0
    assert cost.seconds == run.seconds
    assert "on this machine, 2 at once" in described(cost)


@pytest.mark.usefixtures("quick")
def test_it_says_what_may_be_less_what_is_done_and_what_is_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(tmp_path, train={"steps": 2}, executor=RATE)
    execute(plan(config))
    text = described(cost_of(config))
    assert text == f"1 run in {tmp_path}, longest first: 1 over. Nothing to do."
    longer = tiny(tmp_path, train={"steps": 9}, executor=RATE)
    stopping = tiny(tmp_path, seed=1, stop={"f_mem": 0.1}, executor=RATE)
    text = described(cost_of(longer, stopping))
    assert text.startswith(f"2 runs in {tmp_path}, longest first: 1 new, 1 begun.\n")
    assert "At most: a run ends earlier where f_mem passes stop.f_mem." in text
    assert "At most" not in described(cost_of(longer))
    assert "not enough" not in text
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    assert "10 B free; that is not enough: choose another out" in described(cost_of(longer))
    half = tiny(tmp_path, train={"precision": "bf16"}, executor=RATE)
    assert "evaluation too, though it is in fp32" in described(cost_of(half))
