"""A run on disk as a Python object: settings, metrics, models, samples and the images it was trained on.

Reads whatever is there, also of a run that still goes on, and writes nothing. Images are float32 [M, C, H, W] in
model space, (pixels - mean) x scale; `to_images` gives pixels in [0, 1].
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from diffmem.config.settings import Config
from diffmem.data import Split, load, split
from diffmem.diffusion.sampler import initial_noise, sample
from diffmem.errors import InputError
from diffmem.records import Film, SampleSheet
from diffmem.store import RunDir, find_runs
from diffmem.training.snapshot import read_checkpoint


@dataclass(frozen=True)
class Run:
    """One run directory, read."""

    path: Path

    @cached_property
    def config(self) -> Config:
        """The settings it was trained with."""
        return Config.from_stored(RunDir(self.path).read_config())

    @property
    def status(self) -> dict[str, Any]:
        """status.json: `status` is queued, running, complete, stopped, interrupted, diverged or failed."""
        return RunDir(self.path).read_status()

    @property
    def data_sha256(self) -> str | None:
        """Checksum of the data set it was trained on, as meta.json has it; None where that is missing."""
        checksum: str | None = RunDir(self.path).read_meta().get("data", {}).get("sha256")
        return checksum

    @property
    def steps(self) -> list[int]:
        """The training steps with a checkpoint, ascending."""
        return RunDir(self.path).checkpoint_steps()

    def metrics(self) -> pd.DataFrame:
        """One row per step, ascending, as in metrics.jsonl."""
        rows = RunDir(self.path).primary.read_rows()
        return pd.DataFrame(rows, columns=None if rows else ["step"])

    def model(self, step: int, weights: str = "raw") -> nn.Module:
        """The model at `step`, in eval mode on the CPU, called as model(x, t) -> epsilon.

        Args:
            step: one of `steps`.
            weights: "raw", or "ema" for the averaged ones.

        Raises:
            InputError: no checkpoint at that step, a damaged one, or no averaged weights.
        """
        if step not in self.steps:
            raise InputError(f"{self.path} has no checkpoint at step {step}{_nearest(step, self.steps)}")
        return read_checkpoint(RunDir(self.path).checkpoint_path(step), self.config, weights)

    def samples(self, step: int, count: int | None = None) -> dict[str, Tensor]:
        """What was sampled at `step`: d1, d2 float64 [M], i1, i2 int64 [M], images float32 [keep, C, H, W].

        Images are in model space; those past `eval.keep_samples` come from `sample(step)`. With `count`, no more than
        the first `count` of each are read.

        Raises:
            InputError: nothing was sampled at that step, or the file is damaged.
        """
        path = RunDir(self.path).primary.samples_path(step)
        if not path.is_file():
            have = [known for known in self.steps if RunDir(self.path).primary.samples_path(known).is_file()]
            raise InputError(f"{self.path} has no samples at step {step}{_nearest(step, have)}")
        try:
            with safe_open(path, "pt") as file:
                return {name: file.get_slice(name)[:count] for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise InputError(f"{path} is damaged ({error}): remove it and its row, and `diffmem evaluate`.") from error

    def sample(self, step: int, samples: int) -> Tensor:
        """Draw `samples` images anew from the checkpoint at `step`: the first ones are those that were measured."""
        config = self.config
        noise = initial_noise(samples, config.data.shape)
        model = self.model(step, config.eval.weights)
        return sample(model, noise, diffusion=config.diffusion, sampler=config.sampler, tile=config.eval.tile)

    def train_images(self) -> Tensor:
        """The n training images in model space, in the data set's order."""
        return self._split.train

    def test_images(self) -> Tensor:
        """The held-out images in model space, in the data set's order."""
        return self._split.test

    def to_images(self, x: Tensor) -> Tensor:
        """[0, 1] pixels of images in model space: x / scale + mean, clipped (mixture: the points, not clipped)."""
        pixels = self._split.to_pixels(x)
        return pixels.clamp(0, 1) if x.ndim == 4 else pixels

    @cached_property
    def _split(self) -> Split:
        return split(load(self.config.data), self.config.data)


def neighbour_sheet(path: Path, step: int, count: int = 8) -> SampleSheet | None:
    """The first `count` stored samples of a run at `step` in pixels, each with its nearest training image.

    Returns None where the run has no stored sample images (a model of one fixed t, points that are no images).
    """
    run = load_run(path)
    shown = _beside_nearest(run, step, count)
    if shown is None:
        return None
    return SampleSheet(run=run.path.name, n=run.config.data.n, step=step, k=run.config.eval.k, **shown)


def run_film(path: Path, count: int = 8) -> Film | None:
    """The first `count` stored samples of a run at all its S steps, each with its nearest training image.

    The noise they start from is the same at every step. Returns None where `neighbour_sheet` is None at every step.
    """
    run = load_run(path)
    sheets = {step: shown for step in run.steps if (shown := _beside_nearest(run, step, count))}
    if not sheets:
        return None
    least = min(len(shown["ratio"]) for shown in sheets.values())
    images = {
        name: np.stack([np.round(255 * shown[name][:least]).astype(np.uint8) for shown in sheets.values()])
        for name in ("samples", "nearest")
    }
    ratio = np.stack([shown["ratio"][:least] for shown in sheets.values()])
    return Film(
        run=run.path.name,
        n=run.config.data.n,
        steps=np.array(list(sheets)),
        samples=images["samples"],
        nearest=images["nearest"],
        ratio=ratio,
        k=run.config.eval.k,
    )


def _beside_nearest(run: Run, step: int, count: int) -> dict[str, np.ndarray] | None:
    """samples and nearest [count, C, H, W] in [0, 1], and ratio [count]; None where no sample image is stored."""
    if len(run.config.data.shape) != 3 or not RunDir(run.path).primary.samples_path(step).is_file():
        return None
    stored = run.samples(step, count)
    shown = len(stored["images"])
    if not shown:
        return None
    return {
        "samples": run.to_images(stored["images"]).numpy(),
        "nearest": run.to_images(run.train_images()[stored["i1"][:shown]]).numpy(),
        "ratio": (stored["d1"][:shown] / stored["d2"][:shown]).numpy(),
    }


def load_run(path: str | Path) -> Run:
    """The run in the directory `path`. Raises InputError where there is none."""
    run = Run(Path(path))
    run.config  # noqa: B018 - a directory that is no run is refused here, not later
    return run


def load_runs(folder: str | Path) -> list[Run]:
    """The runs in `folder`, by name. Raises InputError where there is no such folder."""
    return [load_run(run.path) for run in find_runs(folder)]


def _nearest(step: int, steps: list[int]) -> str:
    if not steps:
        return ", and none at any other."
    near = sorted(steps, key=lambda known: abs(known - step))[:3]
    return f": the nearest are {', '.join(map(str, sorted(near)))}."
