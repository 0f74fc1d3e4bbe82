"""A run on disk as a Python object: settings, metrics, models, samples and the images it was trained on.

Reads whatever is there, also of a run that still goes on, and writes nothing. Images are float32 [M, C, H, W] in
model space, (pixels - mean) x scale; `to_images` gives pixels in [0, 1].
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from diffmem import arguments, memory
from diffmem.config.options import to_mapping
from diffmem.config.settings import Config
from diffmem.data import Dataset, Split, split, trained_on
from diffmem.data.labels import labels_of
from diffmem.definitions import THRESHOLD
from diffmem.diffusion.process import Denoiser, Process
from diffmem.diffusion.sampler import initial_noise, sample
from diffmem.diffusion.target import Target
from diffmem.errors import InputError, reading
from diffmem.store import RunDir, find_runs
from diffmem.training.weights import read

KEYS = ("n", "width", "seed", "index")


@dataclass(frozen=True)
class Run:
    """One run directory, read."""

    path: Path

    @cached_property
    def config(self) -> Config:
        """The settings it was trained with."""
        stored = RunDir(self.path)
        return Config.from_stored(stored.read_config(), stored.config_path)

    @property
    def key(self) -> dict[str, int]:
        """What tells it from the other runs of its family: n, width, seed, index."""
        config = self.config
        return dict(zip(KEYS, (config.data.n, config.model.width, config.seed, config.data.index), strict=True))

    @property
    def status(self) -> dict[str, Any]:
        """status.json: `status` is queued, running, complete, stopped, interrupted, diverged or failed."""
        return RunDir(self.path).read_status()

    @cached_property
    def k(self) -> float:
        """A sample is memorized when d1/d2 < k: `eval.k`, or what it was calibrated to."""
        k = self.config.eval.k
        if not isinstance(k, str):
            return k
        for row in RunDir(self.path).primary.read_rows():
            if THRESHOLD in row:
                return float(row[THRESHOLD])
        raise InputError(f"{self.path} has no row yet, from which its k={k} would be known.")

    @property
    def data_sha256(self) -> str | None:
        """Checksum of the data set it was trained on, as meta.json has it; None where that is missing."""
        return RunDir(self.path).data_sha256

    @property
    def steps(self) -> list[int]:
        """The training steps with a checkpoint, ascending."""
        return RunDir(self.path).checkpoint_steps()

    def metrics(self) -> pd.DataFrame:
        """One row per step, ascending, as in metrics.jsonl."""
        rows = RunDir(self.path).primary.read_rows()
        return pd.DataFrame(rows, columns=None if rows else ["step"])

    def model(self, step: int, weights: str = "raw", ema_sigma: float | None = None) -> nn.Module:
        """The model at `step`, in eval mode on the CPU, called as model(x, t) -> what it was trained to predict.

        That is epsilon but with other `diffusion` options, of which `denoiser` makes epsilon. One that was trained with
        labels is also called as model(x, t, labels), int64 [B]; without them it is told none.

        Args:
            step: one of `steps`.
            weights: "raw", "ema" for the averaged ones, or "posthoc" for an average of the width
            ema_sigma: over step, of a run trained with train.ema=posthoc.

        Raises:
            InputError: no checkpoint at that step, a damaged one, or no averaged weights.
        """
        step, weights = arguments.whole("step", step), arguments.one_of("weights", weights, ("raw", "ema", "posthoc"))
        ema_sigma = None if ema_sigma is None else arguments.number("ema_sigma", ema_sigma, above=0)
        if step not in self.steps:
            raise InputError(f"{self.path} has no checkpoint at step {step}{_nearest(step, self.steps)}")
        settings = self.config.to_mapping()
        chosen = {**settings["eval"], "weights": weights, "ema_sigma": ema_sigma}
        return read(RunDir(self.path), step, Config.from_stored({**settings, "eval": chosen}))

    def denoiser(
        self,
        step: int,
        weights: str = "raw",
        device: torch.device | str = "cpu",
        ema_sigma: float | None = None,
    ) -> Denoiser:
        """The model at `step` on `device` as denoiser(x, t) -> epsilon, whatever it was trained to predict.

        Arguments and errors are those of `model`; t are the indices of diffusion times, int64 [B].
        """
        model, path = self.model(step, weights, ema_sigma).to(device), self.config.diffusion
        return Target.of(path, Process.from_config(path).to(device)).denoiser(model)

    def samples(self, step: int, count: int | None = None) -> dict[str, Tensor]:
        """What was sampled at `step`: d1, d2 float64 [M], i1, i2 int64 [M], images float32 [keep, C, H, W].

        Images are in model space; those past `eval.keep_samples` come from `sample(step)`. With `count`, no more than
        the first `count` of each are read.

        Raises:
            InputError: nothing was sampled at that step, or the file is damaged.
        """
        step, count = arguments.whole("step", step), None if count is None else arguments.whole("count", count)
        folder = RunDir(self.path).primary
        if not folder.has_samples(step):
            have = [known for known in self.steps if folder.has_samples(known)]
            raise InputError(f"{self.path} has no samples at step {step}{_nearest(step, have)}")
        stored = folder.read_samples(step, count=count)
        if max(stored["i1"].max(initial=0), stored["i2"].max(initial=0)) >= self.config.data.n:
            raise InputError(f"{folder.samples_path(step)} is damaged: it names training images past the last.")
        return {name: torch.from_numpy(values) for name, values in stored.items()}

    def sample(
        self,
        step: int,
        samples: int,
        *,
        labels: int | Sequence[int] | Tensor | None = None,
        guidance: float | None = None,
    ) -> Tensor:
        """Draw `samples` images anew from the checkpoint at `step`: the first ones are those that were measured.

        Args:
            step: one of `steps`.
            samples: how many, M.
            labels: of a run trained with labels, one for all or [M]; by default those that were measured.
            guidance: in the place of `sampler.guidance`; 0 draws without labels.

        Raises:
            InputError: labels or guidance that the run was not trained for, or as `model` does.
        """
        config, samples = self.config, arguments.whole("samples", samples, low=1)
        if guidance is not None:
            wanted = {**config.to_mapping(), "sampler": {**to_mapping(config.sampler), "guidance": guidance}}
            config = Config.from_stored(wanted)
        told = self._told(samples, labels)
        memory.check(3.0 * 4 * samples * config.data.d, f"samples={samples}", f"for images of {config.data.shape}")
        noise = initial_noise(samples, config.data.shape)
        denoiser = self.denoiser(step, config.eval.weights, ema_sigma=config.eval.ema_sigma)
        return sample(
            denoiser, noise, diffusion=config.diffusion, sampler=config.sampler, tile=config.eval.tile, labels=told
        )

    def labels(self, samples: int) -> Tensor | None:
        """The labels of the first `samples` samples, int64 [M]; None of a run trained without labels."""
        return self._told(arguments.whole("samples", samples, low=1), None)

    def train_images(self) -> Tensor:
        """The n training images in model space, in the data set's order. Raises InputError where they changed since."""
        return self._split.train

    def test_images(self) -> Tensor:
        """The held-out images in model space, in the data set's order."""
        return self._split.test

    @property
    def scale(self) -> float:
        """The factor of model space; for data.scale=auto the one that the training images gave."""
        return self._split.scale

    def to_images(self, x: Tensor) -> Tensor:
        """[0, 1] pixels of images in model space: x / scale + mean, clipped (mixture: the points, not clipped).

        Of latents that have a decoder, what they decode to.
        """
        given = torch.as_tensor(arguments.array("x", x))
        return self._split.to_images(given) if x.ndim == 4 else self._split.to_pixels(given)

    def _repr_html_(self) -> str:
        rows = self.metrics()
        last = {} if rows.empty else rows.iloc[-1].to_dict()
        facts: dict[str, object] = {"run": self.path.name, "status": self.status.get("status", "unknown"), **self.key}
        facts |= {name: f"{last[name]:g}" for name in ("step", "f_mem", "p_train", "mmd_pixels") if name in last}
        cells = "".join(f"<tr><th>{name}</th><td>{html.escape(str(value))}</td></tr>" for name, value in facts.items())
        return f"<table>{cells}</table>"

    def _told(self, samples: int, labels: int | Sequence[int] | Tensor | None) -> Tensor | None:
        """What the network is told of `samples` samples, int64 [M]: `labels`, or those that were measured."""
        classes = self.config.classes
        if classes is None:
            if labels is not None:
                raise InputError(f"labels: {self.path} was trained without labels: leave them out.")
            return None
        if labels is None:
            known = labels_of(self._dataset, self.config.data, classes)
            return None if known is None else known.of_samples(samples)
        given = [labels] * samples if isinstance(labels, Integral) else torch.as_tensor(labels).flatten().tolist()
        if len(given) != samples:
            raise InputError(f"labels has {len(given)} of them, and samples={samples}: give one each, or one number.")
        return torch.tensor([arguments.whole("labels", label, low=0, high=classes - 1) for label in given])

    @cached_property
    def _dataset(self) -> Dataset:
        return trained_on(self.config.data, self.data_sha256, self.path)

    @cached_property
    def _split(self) -> Split:
        return split(self._dataset, self.config.data)


def load_run(path: str | Path) -> Run:
    """The run in the directory `path`. Raises InputError where there is none."""
    run = Run(arguments.path("path", path))
    if not RunDir(run.path).config_path.is_file() and run.path.is_dir() and (inside := find_runs(run.path)):
        raise InputError(
            f"{path} is a folder of {len(inside)} runs and no run itself: use load_runs({str(path)!r}), or name one of "
            f"them, such as {inside[0].path}."
        )
    with reading(run.path):
        run.config  # noqa: B018 - a directory that is no run is refused here, not later
    return run


def load_runs(
    folder: str | Path,
    *,
    n: int | None = None,
    width: int | None = None,
    seed: int | None = None,
    index: int | None = None,
) -> list[Run]:
    """The runs in `folder`, by name; those alone that have this n, width, seed or data.index, where they are given.

    Raises InputError where there is no such folder, or no such run in it.
    """
    runs = [load_run(run.path) for run in find_runs(arguments.path("folder", folder))]
    given = zip(KEYS, (n, width, seed, index), strict=True)
    wanted = {name: arguments.whole(name, value) for name, value in given if value is not None}
    found = [run for run in runs if all(run.key[name] == value for name, value in wanted.items())]
    if runs and not found:
        asked = ", ".join(f"{name}={value}" for name, value in wanted.items())
        there = "; ".join(f"{name} = {', '.join(map(str, sorted({run.key[name] for run in runs})))}" for name in wanted)
        raise InputError(f"{folder} holds no run with {asked}: its runs have {there}.")
    return found


def _nearest(step: int, steps: list[int]) -> str:
    if not steps:
        return ", and none at any other."
    near = sorted(steps, key=lambda known: abs(known - step))[:3]
    return f": the nearest are {', '.join(map(str, sorted(near)))}."
