"""The monitor: right about copies and fresh images, unseen by the training, and a script that uses it."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffmem import MemorizationMonitor
from diffmem.analysis.tables.family import read_table
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
    assert words == ["generalizing", "generalizing", "onset", "memorizing"]
    two_points = [reading.state for reading in watch([5, 6, 0, 6]).curve]
    assert two_points == ["onset", "memorizing", "generalizing", "onset"]


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
    assert "f_mem_null_high" in family.rows


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
