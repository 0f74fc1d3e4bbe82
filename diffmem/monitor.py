"""Memorization watched from somebody else's training loop.

    monitor = MemorizationMonitor(train_images, heldout)
    ...
    if monitor(step, pipeline).stop: break

At each call samples are drawn from the same seed, measured against the training images, and put on a curve. The state
follows this project's definitions of times, with the null's share f_0 and its 95% interval:

    generalizing    nothing more
    onset           the Wilson lower bound of f_mem is above the null's upper bound
    memorizing      f_mem is above f_0 + 0.05 (1 - f_0): its lower bound is, or f_mem of this call and the last are

Nothing is hooked into the loop: the monitor is called, and says what it sees. Looking does not change the training:
random generators, modes and gradients are as they were.

Letters: M samples, n training images, N held-out images, each [C, H, W].
"""

import contextlib
import csv
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffmem.definitions import K, onset, risen
from diffmem.errors import InputError
from diffmem.files import write_bytes
from diffmem.metrics.losses import evaluating
from diffmem.metrics.memorization import leave_one_out, memorized_fraction, null_columns
from diffmem.metrics.search import ImageArray, TrainingIndex

SampleFn = Callable[[int], Tensor]
GENERALIZING, ONSET, MEMORIZING = "generalizing", "onset", "memorizing"


@dataclass(frozen=True)
class Reading:
    """One look: f_mem with its Wilson 95% interval, its null, and what they say.

    `stop` is true from the `patience`-th reading in a row that says memorizing.
    """

    step: int
    f_mem: float
    f_mem_count: int
    f_mem_total: int
    f_mem_low: float
    f_mem_high: float
    f_mem_null: float
    f_mem_null_count: int
    f_mem_null_total: int
    f_mem_null_low: float
    f_mem_null_high: float
    state: str
    stop: bool

    def __str__(self) -> str:
        return (
            f"step {self.step}: f_mem = {self.f_mem:.3f} [{self.f_mem_low:.3f}, {self.f_mem_high:.3f}], "
            f"null {self.f_mem_null:.3f}: {self.state}"
        )


class MemorizationMonitor:
    """Called in a training loop as `monitor(step, source)`; keeps its readings in `curve`.

    Args:
        train_images: [n, C, H, W] that the model trains on, as a tensor or an array (a memory map is fine).
        heldout: [N, C, H, W] real images it does not train on, for the null. None: the null comes from the training
            images, each measured against the others.
        samples: M, drawn at each call.
        batch: samples asked for at once.
        k: a sample is memorized when d1/d2 < k.
        patience: readings in a row that must say memorizing before `stop` is true.
        value_range: (lowest, highest) pixel value in `train_images`, to which a pipeline's [0, 1] images are brought.
        csv: file that the curve is written to after each call, with the columns of metrics.csv (`diffmem fit` reads
            it); `run`, `width` and `seed` name its run.
        seed: of the samples, the same at every call.
        device: where distances are computed; by default that of the training images.

    Raises InputError for images that d1/d2 cannot be measured against, and for options out of range.
    """

    def __init__(
        self,
        train_images: ImageArray,
        heldout: ImageArray | None = None,
        *,
        samples: int = 500,
        batch: int = 100,
        k: float = K,
        patience: int = 1,
        value_range: tuple[float, float] = (-1.0, 1.0),
        csv: str | Path | None = None,
        run: str = "monitored",
        width: int = 1,
        seed: int = 0,
        device: torch.device | str | None = None,
    ) -> None:
        for name, value in (("samples", samples), ("batch", batch), ("patience", patience)):
            if value < 1:
                raise InputError(f"{name}={value} is out of range: it must be at least 1.")
        if not value_range[0] < value_range[1]:
            raise InputError(f"value_range={value_range} is no range: give (lowest, highest), such as (-1, 1).")
        self.samples, self.batch, self.k, self.patience = samples, batch, k, patience
        self.value_range, self.seed = value_range, seed
        self.csv = None if csv is None else Path(csv)
        self._key = {"run": run, "n": len(train_images), "width": width, "seed": seed, "index": 0}
        self.index = TrainingIndex(train_images, device=device)
        self.null = null_columns(leave_one_out(self.index) if heldout is None else self.index.nearest_two(heldout), k)
        self.curve: list[Reading] = []

    def __call__(self, step: int, source: Any) -> Reading:
        """Look at the model after `step` optimizer steps.

        `source` is a function of a number m that returns m samples [m, C, H, W] in the training images' values, or a
        diffusers pipeline that is called without a prompt. Raises InputError for samples of another shape or number,
        NaN among them (the model has diverged), and a step that does not ascend.
        """
        if self.curve and step <= self.curve[-1].step:
            raise InputError(f"step={step} is not after the last one, {self.curve[-1].step}: steps ascend.")
        with _unseen(self.seed):
            images = self._draw(_pipeline_samples(source, self.value_range) if _is_pipeline(source) else source)
        nearest = self.index.nearest_two(images)
        fraction = memorized_fraction(nearest.d1, nearest.d2, self.k)
        null = self.null
        level = risen(null["f_mem_null"])
        above = bool(self.curve) and self.curve[-1].f_mem >= level and fraction.value >= level
        if fraction.low > level or above:
            state = MEMORIZING
        else:
            state = ONSET if onset(fraction.low, null["f_mem_null_high"]) else GENERALIZING
        recent = [reading.state for reading in self.curve[len(self.curve) - self.patience + 1 :]] + [state]
        self.curve.append(
            Reading(
                step=step,
                f_mem=fraction.value,
                f_mem_count=fraction.count,
                f_mem_total=fraction.total,
                f_mem_low=fraction.low,
                f_mem_high=fraction.high,
                f_mem_null=null["f_mem_null"],
                f_mem_null_count=int(null["f_mem_null_count"]),
                f_mem_null_total=int(null["f_mem_null_total"]),
                f_mem_null_low=null["f_mem_null_low"],
                f_mem_null_high=null["f_mem_null_high"],
                state=state,
                stop=len(recent) >= self.patience and set(recent) == {MEMORIZING},
            )
        )
        if self.csv is not None:
            self.write_csv(self.csv)
        return self.curve[-1]

    def write_csv(self, path: str | Path) -> None:
        """The curve with the columns of metrics.csv: run, n, width, seed, index, step, f_mem, ..."""
        rows = [{**self._key, **asdict(reading)} for reading in self.curve]
        names = [name for name in rows[0] if name not in ("state", "stop")] if rows else [*self._key, "step"]
        text = io.StringIO()
        writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_bytes(Path(path), text.getvalue().encode())

    def _draw(self, sample_fn: SampleFn) -> Tensor:
        parts = []
        for first in range(0, self.samples, self.batch):
            count = min(self.batch, self.samples - first)
            part = torch.as_tensor(sample_fn(count)).detach()
            if tuple(part.shape) != (count, *self.index.shape):
                wanted = (count, *self.index.shape)
                raise InputError(f"{count} samples were asked for and came as {tuple(part.shape)}: return {wanted}.")
            parts.append(part.to(self.index.device))
        return torch.cat(parts)


def _is_pipeline(source: Any) -> bool:
    """Whether `source` is a diffusers pipeline. Where diffusers was never imported, nothing is one."""
    diffusers = sys.modules.get("diffusers")
    return diffusers is not None and isinstance(source, diffusers.DiffusionPipeline)


def _pipeline_samples(pipeline: Any, value_range: tuple[float, float]) -> SampleFn:
    """A pipeline's images as a function of their number, in the training images' values."""
    low, high = value_range

    def sample(count: int) -> Tensor:
        network = pipeline.unet
        with evaluating(network):
            images = pipeline(batch_size=count, output_type="np").images  # [m, H, W, C] in [0, 1]
        return torch.from_numpy(images).movedim(-1, 1) * (high - low) + low

    return sample


@contextlib.contextmanager
def _unseen(seed: int) -> Iterator[None]:
    """A seeded stretch without gradients, after which torch's generators stand where they stood."""
    devices = range(torch.cuda.device_count())
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(seed)
        yield
