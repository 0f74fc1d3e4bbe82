"""One model, one row: every measure of a checkpoint, on the same samples and the same noise at every step and run.

Initial noise, loss noise and the subsets measured depend on neither seed, step nor n, so curves are paired. What a
run's checkpoints share (the training index, the null, the test statistics) is computed once.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffmem.config.data import MixtureData
from diffmem.config.settings import Config
from diffmem.data import Dataset, Split, outside_test
from diffmem.diffusion.process import Process
from diffmem.diffusion.sampler import initial_noise, sample
from diffmem.errors import InputError
from diffmem.metrics import frechet, memorization, score
from diffmem.metrics.features import extractors
from diffmem.metrics.losses import epsilon_losses
from diffmem.metrics.search import TrainingIndex
from diffmem.training.initial import Diverged

PCA_IMAGES = 10_000  # images outside the test split that a feature basis is fitted on


@dataclass(frozen=True)
class Measured:
    """A row of metrics and, where the model can sample, the per-sample arrays behind it."""

    row: dict[str, Any]
    arrays: dict[str, np.ndarray]


class Evaluator:
    """Measures the checkpoints of one run."""

    def __init__(self, config: Config, dataset: Dataset, split: Split, device: torch.device) -> None:
        self.config = config
        self.split = split
        self.device = device
        self.process = Process.from_config(config.diffusion).to(device)
        shown = config.eval.test_images
        self.loss_images = {"train": split.train[:shown].to(device), "test": split.test[:shown].to(device)}
        if config.can_sample:
            self.noise = initial_noise(config.eval.samples, config.data.shape).to(device)
            self.index = TrainingIndex(split.train.to(device))
            heldout = self.index.nearest_two(split.test.to(device))
            self.shared = memorization.null_columns(heldout, config.eval.k)
            self.shared["train_duplicates"] = self.index.duplicates
            self.extractor = extractors.extractor(quality_name(config), outside_test(dataset, PCA_IMAGES))
            self.test_statistics = frechet.statistics(self.extractor(split.to_pixels(split.test)))

    def __call__(self, model: nn.Module, step: int) -> Measured:
        """Measure `model` (left in the mode it came in) as the checkpoint of `step`.

        Raises Diverged where it samples NaN or infinite values: that is no f_mem = 0.
        """
        training = model.training
        model.eval()
        try:
            with torch.no_grad():
                row: dict[str, Any] = {"step": step}
                arrays: dict[str, np.ndarray] = {}
                if self.config.can_sample:
                    samples = self._sample(model)
                    if not samples.isfinite().all():
                        raise Diverged(step, "the samples")
                    columns, arrays = self._memorization(samples)
                    row |= columns | self._quality(samples)
                row |= self._losses(model)
        finally:
            model.train(training)
        return Measured(row, arrays)

    def _sample(self, model: nn.Module) -> Tensor:
        config = self.config
        return sample(model, self.noise, diffusion=config.diffusion, sampler=config.sampler, tile=config.eval.tile)

    def _memorization(self, samples: Tensor) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        settings = self.config.eval
        nearest = self.index.nearest_two(samples)
        columns = memorization.summarize(nearest, settings.k, settings.bootstrap, seed=0)
        arrays = {name: getattr(nearest, name).numpy() for name in ("d1", "d2", "i1", "i2")}
        arrays["images"] = samples[: settings.keep_samples].cpu().numpy()
        return {**columns, **self.shared}, arrays

    def _quality(self, samples: Tensor) -> dict[str, float]:
        pixels = self.split.to_pixels(samples.cpu())
        if pixels.ndim == 4:
            pixels = pixels.clamp(0, 1)  # as an image is shown; a few bright failures would drown the rest
        found = self.extractor(pixels)
        low, high = frechet.frechet_jackknife(found, *self.test_statistics)
        name = self.extractor.name
        distance = frechet.frechet_distance(*frechet.statistics(found), *self.test_statistics)
        return {name: distance, f"{name}_low": low, f"{name}_high": high}

    def _losses(self, model: nn.Module) -> dict[str, float]:
        config = self.config
        times = config.eval.t if config.train.t is None else (config.train.t,)
        columns: dict[str, float] = {}
        for kind, images in self.loss_images.items():
            losses = epsilon_losses(model, self.process, images, t=times, tile=config.eval.tile)
            columns |= {f"loss_{kind}_t{t}": loss for t, loss in losses.items()}
        for t in times:
            columns[f"loss_gen_t{t}"] = columns[f"loss_test_t{t}"] - columns[f"loss_train_t{t}"]
        if isinstance(config.data, MixtureData):
            columns |= self._scores(model, times, config.data)
        return columns

    def _scores(self, model: nn.Module, times: tuple[int, ...], data: MixtureData) -> dict[str, float]:
        return score.score_errors(
            model,
            self.process,
            self.split.train.to(self.device),
            self.loss_images["test"],
            mu=data.mu,
            sigma=data.sigma,
            scale=data.scale,
            t=times,
            tile=self.config.eval.tile,
        )


def quality_name(config: Config) -> str:
    """The feature extractor of this run's Frechet distance."""
    name = config.eval.quality
    return extractors.automatic(config.data.d) if name == "auto" else name


def check(config: Config, held_out: int) -> None:
    """Raise InputError where the evaluation that `config` asks for cannot be made with `held_out` images."""
    if config.eval.test_images > held_out:
        raise InputError(
            f"eval.test_images={config.eval.test_images} is more than the {held_out} held-out images of "
            f"data={config.data.name}: use at most {held_out}."
        )
    if config.can_sample:
        name = quality_name(config)
        dim = extractors.dimension(name, config.data.d)
        for option, count in (("eval.samples", config.eval.samples), ("the test split", held_out)):
            if count < 2 * dim:
                raise InputError(
                    f"{option} gives {count} images, and {name} has {dim} dimensions: its Frechet distance needs at "
                    f"least twice as many, {2 * dim}."
                )
