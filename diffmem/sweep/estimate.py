"""What a sweep will cost, before it is started: operations, disk and time of every run, and of all.

Operations are counted on the network (`training/flops`), bytes from shapes (`training/sizes`), seconds from a few
steps and network calls on this machine (`training/speed`), or from the operations and the rate of a device that is
not here. Only what is left of a run counts. Nothing is written, and no run is started.
"""

import heapq
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from diffmem.config.data import MixtureData
from diffmem.config.settings import Config
from diffmem.data import load
from diffmem.data.dataset import TEST_COUNT
from diffmem.errors import InputError
from diffmem.metrics import likelihood
from diffmem.store import RunDir
from diffmem.training import flops, machine
from diffmem.training.beside import Beside, BesideCost, draws
from diffmem.training.evaluate import REAL_IMAGES
from diffmem.training.left import Left, left
from diffmem.training.plan import Plan, outline, plan
from diffmem.training.sizes import POINTS, RUN_TEXT, TIMING_TEXT, sizes
from diffmem.training.speed import Speed, busy


@dataclass(frozen=True, kw_only=True)
class RunCost:
    """What is left of one run, at most: operations, bytes, seconds."""

    planned: Plan
    left: Left
    train_flops: int
    sample_flops: int
    loss_flops: int
    disk: int  # bytes
    train_seconds: float
    network_seconds: float  # sampling and losses
    beside_seconds: float  # what else an evaluation costs

    @property
    def seconds(self) -> float:
        return self.train_seconds + self.network_seconds + self.beside_seconds


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A sweep's cost. `runs` are in the order in which they are started, on `workers` at once.

    Where more are `at_once`, they share the workers, and their times add up.
    """

    runs: list[RunCost]
    workers: int
    at_once: int
    tflops: float | None  # of a worker, where it is not this machine
    seconds: float  # from the first start to the last end
    free: int  # bytes on the disk of the runs
    at_hand: bool  # whether the data are

    @property
    def at_most(self) -> bool:
        """Whether runs may end before their last step."""
        return any(cost.planned.config.stop.f_mem is not None for cost in self.runs)


def planner(config: Config) -> Plan:
    """The plan of a run, or its outline where `data.root` is null and the data are not at hand without it."""
    return plan(config) if _counts(config) else outline(config)


def estimate(plans: Sequence[Plan], workers: int, at_once: int | None = None) -> Estimate:
    """The cost of the runs `plans`, in their order, on `workers`, which `at_once` (by default as many) runs share.

    Each worker is a device of `executor.tflops` where that is given, else it is of this machine, on which a few steps
    are measured. Raises InputError where a run's settings or rows are damaged.
    """
    first = plans[0].config
    threads = first.threads or (1 if workers > 1 else os.cpu_count() or 1)
    device = machine.configure(replace(first, threads=threads))
    speed, beside = Speed(device), BesideCost(device)
    others = min(workers * threads, os.cpu_count() or 1) - threads if device.type == "cpu" else 0
    with busy(0 if first.executor.tflops else others):
        runs = [_cost(planned, left(planned), speed, beside) for planned in plans]
    return Estimate(
        runs=runs,
        workers=workers,
        at_once=at_once or workers,
        tflops=first.executor.tflops,
        seconds=wall_seconds([cost.seconds for cost in runs], workers),
        free=shutil.disk_usage(_existing(plans[0].run)).free,
        at_hand=all(_counts(planned.config) for planned in plans),
    )


def wall_seconds(runs: Sequence[float], workers: int) -> float:
    """When the last of `runs` ends, each started in its turn on the worker that is free first."""
    ends = [0.0] * workers
    for seconds in runs:
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)


def evaluation_calls(config: Config) -> tuple[int, int]:
    """Images that go through the network for one row: to be sampled, and for the losses (scores, and the density)."""
    shown, times = config.eval.test_images, len(config.eval.t) if config.can_sample else 1
    least = config.eval.loss_draws
    guided = config.sampler.passes // config.sampler.calls
    test = draws(shown, least) * (1 + guided if isinstance(config.data, MixtureData) else 1)
    sampled = config.eval.samples * config.sampler.passes if config.can_sample else 0
    density = (config.eval.kl_samples or 0) * likelihood.CALLS * (1 + config.data.d)  # one derivative a dimension
    return sampled, times * (test + draws(min(shown, config.data.n), least)) + density


def _cost(planned: Plan, remains: Left, speed: Speed, beside_cost: BesideCost) -> RunCost:
    config = planned.config
    one = flops.count(config.model, config.data.shape)
    sampled, losses = (remains.rows * images for images in evaluation_calls(config))
    trained = remains.steps * config.batch
    held_out, real = _counts(config) or (TEST_COUNT, REAL_IMAGES)
    beside = beside_cost(config, held_out, real) if remains.rows else Beside(0.0, 0.0, 0, 0)
    return RunCost(
        planned=planned,
        left=remains,
        train_flops=trained * one.step,
        sample_flops=sampled * one.call,
        loss_flops=losses * one.call,
        disk=_disk(config, remains, beside),
        train_seconds=_seconds(config, trained * one.step, lambda: remains.steps * speed.step(config)),
        network_seconds=_seconds(
            config, (sampled + losses) * one.call, lambda: (sampled + losses) * speed.call(config)
        ),
        beside_seconds=beside.first + remains.rows * beside.each,
    )


def _seconds(config: Config, operations: int, measured: Callable[[], float]) -> float:
    """Seconds of so many operations on the device of `executor.tflops`, or as `measured` on this machine."""
    if not operations:
        return 0.0
    return operations / (config.executor.tflops * 1e12) if config.executor.tflops else measured()


def _disk(config: Config, remains: Left, beside: Beside) -> int:
    """Bytes that are still to be written."""
    one = sizes(config)
    new = POINTS * one.resume + RUN_TEXT + beside.bookend_bytes if remains.state == "new" else 0
    checkpoints = remains.checkpoints * (one.checkpoint + TIMING_TEXT)
    return new + checkpoints + remains.rows * (one.samples + beside.row_bytes)


def counts(config: Config) -> tuple[int, int]:
    """Test images, and images outside them up to REAL_IMAGES. Raises InputError where the data are not at hand."""
    dataset = load(config.data)
    return dataset.test_count, min(dataset.count - dataset.test_count, REAL_IMAGES)


def _counts(config: Config) -> tuple[int, int] | None:
    """`counts`; None where the data are not at hand without a root."""
    try:
        return counts(config)
    except InputError:
        if getattr(config.data, "root", "") is not None:
            raise
        return None


def _existing(run: RunDir) -> Path:
    """The nearest folder above the run that there is."""
    return next(place for place in run.path.absolute().parents if place.is_dir())
