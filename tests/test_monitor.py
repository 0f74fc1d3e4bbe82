"""The monitor: right about copies and fresh images, unseen by the training, and a script that uses it."""

import html
import importlib.util
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from diffmem import MemorizationMonitor
from diffmem.analysis.tables.family import read_table
from diffmem.analysis.times.words import time_words
from diffmem.cli.main import main
from diffmem.errors import InputError
from diffmem.stats.intervals import wilson
from tests.helpers.compare_targets import noise_images, tiny_unet

TRAIN, HELDOUT = noise_images(50, 0) * 2 - 1, noise_images(300, 1) * 2 - 1
EXAMPLE = Path(__file__).parents[1] / "examples" / "train_diffusers.py"


def mixed(copies: int, total: int = 100) -> Tensor:
    """Fresh images, `copies` of which are training images moved a little."""
    images = noise_images(total, 2) * 2 - 1
    images[:copies] = TRAIN[torch.arange(copies) % len(TRAIN)] + 0.01 * images[:copies]
    return images


def watch(shares: list[int], patience: int = 1) -> MemorizationMonitor:
    monitor = MemorizationMonitor(TRAIN, HELDOUT, samples=100, patience=patience)
    for step, copies in enumerate(shares):
        monitor(step, lambda count, copies=copies: mixed(copies))
    return monitor


def test_f_mem_with_interval_and_null() -> None:
    reading = watch([30]).curve[0]
    assert (reading.f_mem, reading.f_mem_count, reading.f_mem_total) == (0.3, 30, 100)
    assert (reading.f_mem_low, reading.f_mem_high) == wilson(30, 100)
    assert (reading.f_mem_null, reading.f_mem_null_total) == (0.0, 300)
    assert (reading.f_mem_null_low, reading.f_mem_null_high) == wilson(0, 300)
    assert "f_mem = 0.300" in str(reading)


def test_states() -> None:
    """Null upper bound 0.0126, level 0.05: the lower bounds are 0 at 0, 0.006 at 2, 0.022 at 5, 0.055 at 10 copies."""
    words = [reading.state for reading in watch([0, 2, 5, 10]).curve]
    assert words == ["not memorizing", "not memorizing", "onset", "memorizing"]
    two_points = [reading.state for reading in watch([5, 6, 0, 6]).curve]
    assert two_points == ["onset", "memorizing", "not memorizing", "onset"]


def test_samples_off_the_data_are_said_and_are_no_praise() -> None:
    """Noise of ten times the images' spread, and a network that has begun to diverge: neither memorizes."""
    monitor = MemorizationMonitor(TRAIN, HELDOUT, samples=100)
    for step, spread in enumerate((10.0, 1.0, 3.0)):
        monitor(step, lambda count, spread=spread: spread * mixed(0, count))
    assert [reading.state for reading in monitor.curve] == ["not memorizing"] * 3
    assert [reading.off_data for reading in monitor.curve] == [True, False, True]
    assert "not memorizing; samples lie off the data" in str(monitor.curve[0])
    assert str(monitor.curve[1]).endswith("not memorizing")
    assert not any(reading.off_data for reading in watch([0, 30, 90]).curve)
    assert MemorizationMonitor(TRAIN, samples=100)(0, lambda count: 10 * mixed(0, count)).off_data


def test_f_mem_surely_below_its_null_is_off_the_data_too() -> None:
    near = TRAIN + 1e-3  # held-out images that are copies: the null is 1
    reading = MemorizationMonitor(TRAIN, near, samples=100)(0, lambda count: mixed(0, count))
    assert reading.f_mem_high < reading.f_mem_null_low
    assert (reading.state, reading.off_data) == ("not memorizing", True)


def test_a_reading_is_shown_in_a_notebook() -> None:
    reading = watch([30]).curve[0]
    assert reading._repr_html_() == f"<p>{html.escape(str(reading))}</p>"


def test_the_curve_of_one_run_is_fitted_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monitor = MemorizationMonitor(TRAIN, HELDOUT, samples=100, csv="curve.csv")
    for step, copies in ((0, 0), (100, 0), (200, 0), (400, 20), (800, 60), (1600, 90)):
        monitor(step, lambda count, copies=copies: mixed(copies, count))
    assert main(["fit", "curve.csv"]) == 0
    said = capsys.readouterr().out.splitlines()
    times = pd.read_csv("runs/fit/curve/timescales.csv").iloc[0].to_dict()
    assert said[0].startswith("one run, n = 50: ")
    assert f"tau_mem {time_words(times, 'tau_mem')}" in said[0]
    assert said[1] == "Tables: runs/fit/curve"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.csv", "runs"]


def test_p_train_comes_before_copies_and_can_be_what_to_stop_at() -> None:
    """Samples half way to a training image: nearer to it than to any other, and no copies."""
    pulled = ((noise_images(100, 2) * 2 - 1) + TRAIN[torch.arange(100) % 50]) / 2
    monitor = MemorizationMonitor(TRAIN, HELDOUT, samples=100, stop_at="leaning")
    fresh, leaning, copies = (monitor(step, lambda _, x=x: x) for step, x in enumerate((mixed(0), pulled, mixed(50))))
    assert [reading.state for reading in monitor.curve] == ["not memorizing", "leaning", "memorizing"]
    assert [reading.stop for reading in monitor.curve] == [False, True, True]
    assert leaning.f_mem < 0.05
    assert leaning.p_train is not None
    assert leaning.p_train_null is not None
    assert leaning.p_train > 0.6 > leaning.p_train_null
    assert "p_train = " in str(leaning)
    assert fresh.p_train_null == copies.p_train_null
    bare = MemorizationMonitor(TRAIN, samples=100)(0, lambda _: pulled)
    assert (bare.p_train, bare.state) == (None, "not memorizing")
    with pytest.raises(InputError, match="stop_at=leaning is not possible"):
        MemorizationMonitor(TRAIN, stop_at="leaning")


def test_patience() -> None:
    assert [reading.stop for reading in watch([50, 0, 50, 50, 50], patience=2).curve] == [
        False,
        False,
        False,
        True,
        True,
    ]
    assert [reading.stop for reading in watch([0, 50], patience=1).curve] == [False, True]


def test_a_null_without_heldout_images() -> None:
    monitor = MemorizationMonitor(TRAIN, samples=10)
    assert monitor.null["f_mem_null_total"] == 50
    assert monitor.null["f_mem_null"] == 0


def test_looking_leaves_no_trace() -> None:
    """Random state, gradients and the samples of the next look are as if nobody had looked."""
    monitor = MemorizationMonitor(TRAIN, HELDOUT, samples=20, batch=7)
    drawn: list[Tensor] = []

    def sample(count: int) -> Tensor:
        assert not torch.is_grad_enabled()
        drawn.append(torch.rand(count, 1, 4, 4))
        return drawn[-1]

    torch.manual_seed(5)
    before = torch.get_rng_state()
    monitor(1, sample)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    monitor(2, sample)
    assert [len(part) for part in drawn] == [7, 7, 6] * 2
    assert all(torch.equal(a, b) for a, b in zip(drawn[:3], drawn[3:], strict=True))
    assert torch.is_grad_enabled()


def test_a_pipeline_is_drawn_in_eval_mode() -> None:
    from diffusers import DDIMPipeline, DDIMScheduler

    unet = tiny_unet(sample_size=4, in_channels=1, out_channels=1, dropout=0.5).train()
    pipeline: Any = DDIMPipeline(unet, DDIMScheduler(num_train_timesteps=50))
    pipeline.set_progress_bar_config(disable=True)
    modes: list[bool] = []
    unet.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    monitor = MemorizationMonitor(TRAIN, HELDOUT, samples=6, batch=4)
    first, second = monitor(1, pipeline), monitor(2, pipeline)
    assert unet.training
    assert modes
    assert not any(modes)
    assert first.f_mem == second.f_mem  # the same noise
    in_unit_range = MemorizationMonitor((TRAIN + 1) / 2, (HELDOUT + 1) / 2, samples=6, batch=4, value_range=(0, 1))
    assert in_unit_range(1, pipeline).f_mem == first.f_mem


def test_the_curve_is_a_table_that_fit_reads(tmp_path: Path) -> None:
    monitor = MemorizationMonitor(TRAIN, HELDOUT, samples=100, csv=tmp_path / "curve.csv", run="mine", width=32, seed=3)
    for step, copies in ((0, 0), (100, 20), (300, 90)):
        monitor(step, lambda count, copies=copies: mixed(copies))
    family = read_table(tmp_path / "curve.csv")
    assert family.runs.drop(columns=["status", "path", "settings"]).to_dict("records") == [
        {"run": "mine", "n": 50, "width": 32, "seed": 3, "index": 0}
    ]
    assert list(family.rows["step"]) == [0, 100, 300]
    assert list(family.rows["f_mem"]) == [0.0, 0.2, 0.9]
    assert {"f_mem_null_high", "p_train", "p_train_null_high"} <= set(family.rows)


def test_bad_use() -> None:
    monitor = MemorizationMonitor(TRAIN, HELDOUT, samples=10)
    monitor(5, lambda count: noise_images(count, 0))
    for call, words in [
        (lambda: monitor(5, lambda count: noise_images(count, 0)), "steps ascend"),
        (lambda: monitor(6, lambda count: noise_images(count - 1, 0)), "10 samples were asked for"),
        (lambda: monitor(6, lambda count: noise_images(count, 0, 5)), "return (10, 1, 4, 4)"),
        (lambda: monitor(6, lambda count: noise_images(count, 0) * float("nan")), "NaN"),
        (lambda: MemorizationMonitor(TRAIN[:1]), "needs two that differ"),
        (lambda: MemorizationMonitor(TRAIN[:2]), "held-out"),
        (lambda: MemorizationMonitor(TRAIN, samples=0), "samples=0"),
        (lambda: MemorizationMonitor(TRAIN, value_range=(1, 0)), "value_range"),
    ]:
        with pytest.raises(InputError) as caught:
            call()
        assert words in str(caught.value)
    assert len(monitor.curve) == 1


def test_the_example_trains_looks_and_writes_its_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("train_diffusers", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    curve = tmp_path / "curve.csv"
    module.main(["--n", "8", "--steps", "4", "--every", "2", "--samples", "8", "--csv", str(curve)])
    assert list(read_table(curve).rows["step"]) == [2, 4]
    assert "step 4: f_mem = " in capsys.readouterr().out
