"""Memorization watched from somebody else's training loop.

    monitor = MemorizationMonitor(train_images, heldout)
    ...
    if monitor(step, pipeline).stop: break

At each call samples are drawn from the same seed, measured against the training images, and put on a curve. The state
follows this project's definitions of times, with the null's share f_0 and its 95% interval:

    not memorizing  nothing more
    leaning         p_train is above its null's p_0 + 0.2 (1 - p_0): its lower bound is, or p_train of this call and the
                    last are (with held-out images only)
    onset           the Wilson lower bound of f_mem is above the null's upper bound
    memorizing      f_mem is above f_0 + 0.05 (1 - f_0): its lower bound is, or f_mem of this call and the last are

Samples of an untrained or diverging network are no copies either. They *lie off the data* where half of them are
farther from every training image than 95% of the held-out images are (without these: of the training images from the
others), or f_mem is surely below its null. A reading says so.

Nothing is hooked into the loop: the monitor is called, and says what it sees. Looking does not change the training:
random generators, modes and gradients are as they were.

Letters: M samples, n training images, N held-out images, each [C, H, W].
"""

import contextlib
import csv
import html
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffmem import arguments
from diffmem.definitions import THETA_BIAS, K, onset, risen
from diffmem.errors import InputError
from diffmem.files import write_bytes
from diffmem.metrics import bias
from diffmem.metrics.losses import evaluating
from diffmem.metrics.memorization import MemorizedFraction, leave_one_out, memorized_fraction, null_columns
from diffmem.metrics.search import ImageArray, TrainingIndex

OFF_DATA = "; samples lie off the data, farther from training images than real ones: not trained enough, or diverging"
SampleFn = Callable[[int], Tensor]
NOT_MEMORIZING, LEANING, ONSET, MEMORIZING = STATES = ("not memorizing", "leaning", "onset", "memorizing")
NEAR = 0.95  # share of the held-out images that lie on the data


@dataclass(frozen=True)
class Reading:
    """One look: f_mem and p_train with their 95% intervals and nulls, and what they say.

    p_train is the share of samples that lie closer to the training images than to as many held-out ones, None without
    held-out images. `off_data` says that the samples are farther from the training images than real ones are: the
    network is not trained enough, or diverges. `stop` is true from the `patience`-th reading in a row that has come to
    the state to stop at.
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
    off_data: bool
    p_train: float | None = None
    p_train_low: float | None = None
    p_train_high: float | None = None
    p_train_null: float | None = None
    p_train_null_low: float | None = None
    p_train_null_high: float | None = None

    def __str__(self) -> str:
        leaning = ""
        if self.p_train is not None:
            leaning = f"; p_train = {self.p_train:.3f} [{self.p_train_low:.3f}, {self.p_train_high:.3f}], "
            leaning += f"null {self.p_train_null:.3f}"
        return (
            f"step {self.step}: f_mem = {self.f_mem:.3f} [{self.f_mem_low:.3f}, {self.f_mem_high:.3f}], "
            f"null {self.f_mem_null:.3f}{leaning}: {self.state}{OFF_DATA if self.off_data else ''}"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(str(self))}</p>"


class MemorizationMonitor:
    """Called in a training loop as `monitor(step, source)`; keeps its readings in `curve`.

    Args:
        train_images: [n, C, H, W] that the model trains on, as a tensor or an array (a memory map is fine).
        heldout: [N, C, H, W] real images it does not train on, for p_train and the nulls. None: there is no p_train,
            and the null of f_mem comes from the training images, each measured against the others.
        samples: M, drawn at each call.
        batch: samples asked for at once.
        k: a sample is memorized when d1/d2 < k.
        patience: readings in a row that must have come to `stop_at` before `stop` is true.
        stop_at: the state to stop at: "leaning" for samples that do not favour the training images, or "onset", or
            "memorizing", when 5% of them are copies.
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
        stop_at: str = MEMORIZING,
        value_range: tuple[float, float] = (-1.0, 1.0),
        csv: str | Path | None = None,
        run: str = "monitored",
        width: int = 1,
        seed: int = 0,
        device: torch.device | str | None = None,
    ) -> None:
        whole, number = arguments.whole, arguments.number
        samples, batch = whole("samples", samples, low=1, high=10**8), whole("batch", batch, low=1, high=10**8)
        patience, width, seed = whole("patience", patience, low=1), whole("width", width, low=1), whole("seed", seed)
        k, run, stop_at = (
            number("k", k, above=0, high=1),
            arguments.word("run", run),
            arguments.word("stop_at", stop_at),
        )
        train_images = arguments.array("train_images", train_images, least=2)
        heldout = None if heldout is None else arguments.array("heldout", heldout, least=2)
        if stop_at not in STATES[1:] or (stop_at == LEANING and (heldout is None or len(heldout) < 2)):
            raise InputError(
                f"stop_at={stop_at} is not possible: use onset or memorizing, or with held-out images leaning."
            )
        if not isinstance(value_range, tuple | list) or len(value_range) != 2:
            raise TypeError(f"value_range={arguments.shown(value_range)} is no pair of numbers.")
        if not number("value_range", value_range[0]) < number("value_range", value_range[1]):
            raise InputError(f"value_range={value_range} is no range: give (lowest, highest), such as (-1, 1).")
        self.samples, self.batch, self.k, self.patience = samples, batch, k, patience
        self.value_range, self.seed, self.stop_at = value_range, seed, stop_at
        self.csv = None if csv is None else arguments.path("csv", csv)
        self._key = {"run": run, "n": len(train_images), "width": width, "seed": seed, "index": 0}
        self.index = TrainingIndex(train_images, device=device)
        real = leave_one_out(self.index) if heldout is None else self.index.nearest_two(heldout)
        self.null = null_columns(real, k)
        self.reach = float(real.d1.quantile(NEAR))  # distance to the training images from which on samples lie off them
        self.bias = None if heldout is None or len(heldout) < 2 else bias.Bias(self.index, heldout)
        self.curve: list[Reading] = []

    def __call__(self, step: int, source: Any) -> Reading:
        """Look at the model after `step` optimizer steps.

        `source` is a function of a number m that returns m samples [m, C, H, W] in the training images' values, or a
        diffusers pipeline that is called without a prompt. Raises InputError for samples of another shape or number,
        NaN among them (the model has diverged), and a step that does not ascend.
        """
        step = arguments.whole("step", step)
        if not callable(source):
            raise TypeError(f"source={arguments.shown(source)} is neither a function of a number nor a pipeline.")
        if self.curve and step <= self.curve[-1].step:
            raise InputError(f"step={step} is not after the last one, {self.curve[-1].step}: steps ascend.")
        with _unseen(self.seed):
            images = self._draw(_pipeline_samples(source, self.value_range) if _is_pipeline(source) else source)
        nearest = self.index.nearest_two(images)
        fraction = memorized_fraction(nearest.d1, nearest.d2, self.k)
        null = self.null
        leaning = {} if self.bias is None else bias.columns(self.bias.own(images), self.bias.null)
        state = self._state(fraction, leaning)
        recent = [reading.state for reading in self.curve[len(self.curve) - self.patience + 1 :]] + [state]
        come = all(STATES.index(one) >= STATES.index(self.stop_at) for one in recent)
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
                stop=len(recent) >= self.patience and come,
                off_data=float(nearest.d1.median()) > self.reach or fraction.high < null["f_mem_null_low"],
                **leaning,
            )
        )
        if self.csv is not None:
            self.write_csv(self.csv)
        return self.curve[-1]

    def _state(self, fraction: MemorizedFraction, leaning: Mapping[str, float]) -> str:
        """What f_mem and p_train of this look and of the last one say."""
        last = self.curve[-1] if self.curve else None
        level = risen(self.null["f_mem_null"])
        if fraction.low > level or (last is not None and min(last.f_mem, fraction.value) >= level):
            return MEMORIZING
        if onset(fraction.low, self.null["f_mem_null_high"]):
            return ONSET
        if leaning:
            level = risen(leaning["p_train_null"], THETA_BIAS)
            before = 0.0 if last is None or last.p_train is None else last.p_train
            if leaning["p_train_low"] > level or min(before, leaning["p_train"]) >= level:
                return LEANING
        return NOT_MEMORIZING

    def write_csv(self, path: str | Path) -> None:
        """The curve with the columns of metrics.csv: run, n, width, seed, index, step, f_mem, ..."""
        rows = [{**self._key, **asdict(reading)} for reading in self.curve]
        measured = [name for name in (rows[0] if rows else ()) if name not in ("state", "stop", "off_data")]
        names = [name for name in measured if rows[0][name] is not None] or [*self._key, "step"]
        text = io.StringIO()
        writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_bytes(arguments.path("path", path), text.getvalue().encode())

    def _draw(self, sample_fn: SampleFn) -> Tensor:
        parts = []
        for first in range(0, self.samples, self.batch):
            count = min(self.batch, self.samples - first)
            part = torch.as_tensor(arguments.array("source(m)", sample_fn(count))).detach()
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
