"""One model, one row: every measure of a checkpoint, on the same samples and the same noise at every step and run.

Initial noise, loss noise and the subsets measured depend on neither seed, step nor n, so curves are paired. What a
run's checkpoints share (the training index, the null, the test statistics, the bookends of quality) is computed once.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffmem.config.data import UNIQUE, MixtureData
from diffmem.config.settings import BLOCK, Config
from diffmem.data import Dataset, Split, outside_test
from diffmem.data.labels import labels_of
from diffmem.definitions import THRESHOLD, null_rate
from diffmem.diffusion import traced
from diffmem.diffusion.process import Denoiser, Process
from diffmem.diffusion.sampler import initial_noise, sample
from diffmem.diffusion.target import Target
from diffmem.metrics import bias, bookends, calibration, likelihood, memorization, score
from diffmem.metrics.classes import Classes
from diffmem.metrics.features import extractors
from diffmem.metrics.features.memorized import InFeatures
from diffmem.metrics.lipschitz import lipschitz
from diffmem.metrics.losses import epsilon_losses
from diffmem.metrics.mirrored import training_index
from diffmem.metrics.quality import Quality, halves
from diffmem.metrics.search import NearestTwo, TrainingIndex
from diffmem.training.asked import asked
from diffmem.training.initial import Diverged

REAL_IMAGES = 10_000  # images outside the test split that a feature basis is fitted on and bookends are drawn from
# what eval.quality could be when there was one measure: rows of these settings have no null of their own
ONE_WORD = ("auto", "fd_pixels", "fd_pca64")


@dataclass(frozen=True)
class Measured:
    """A row of metrics and, where the model can sample, the per-sample arrays behind it."""

    row: dict[str, Any]
    arrays: dict[str, np.ndarray]


class Evaluator:
    """Measures the checkpoints of one run.

    `bookends` are what its quality says of generators that are known, `networks` what decides the features of each
    network that it is measured by; both {} where the model cannot sample.
    """

    def __init__(self, config: Config, dataset: Dataset, split: Split, device: torch.device) -> None:
        self.config = config
        self.split = split
        self.device = device
        self.process = Process.from_config(config.diffusion).to(device)
        self.target = Target.of(config.diffusion, self.process)
        self.traced = traced.Traced()
        self.bookends: dict[str, dict[str, float]] = {}
        self.networks: dict[str, dict[str, Any]] = {}
        shown = config.eval.test_images
        self.loss_images = {"train": split.train[:shown].to(device), "test": split.test[:shown].to(device)}
        self.labels = labels_of(dataset, config.data, config.classes)
        self.loss_labels: dict[str, Tensor] = {}
        if self.labels is not None:
            self.loss_labels = {
                kind: labels[:shown].to(device)
                for kind, labels in (("train", self.labels.train), ("test", self.labels.test))
            }
        self.told: Tensor | None = None  # labels of the samples
        self.classes: Classes | None = None
        self.features: InFeatures | None = None
        if config.can_sample:
            self.noise = initial_noise(config.eval.samples, config.data.shape).to(device)
            self.index = training_index(split.train.to(device), flips=config.data.flips)
            heldout = self.index.nearest_two(split.test.to(device))
            self.k = calibration.threshold(config.eval.k, heldout)
            self.shared = memorization.null_columns(heldout, self.k)
            if null_rate(config.eval.k) is not None:
                self.shared[THRESHOLD] = self.k
            if split.decoded is not None:
                self.in_pixels = training_index(split.to_images(split.train), flips=False, device=device)
                self.heldout_pixels = self.in_pixels.nearest_two(split.to_images(split.test))
                self.k_pixels = calibration.threshold(config.eval.k, self.heldout_pixels)
            self.shared["train_duplicates"] = self.index.duplicates
            self.bias = bias.Bias(self.index, split.test)
            images, test = outside_test(dataset, REAL_IMAGES), split.to_pixels(split.test)
            chosen = asked(config, len(images), len(test))
            found = {space: extractors.extractor(space, images, device) for _, space, _ in chosen}
            self.networks = {by.name: dict(by.network) for by in found.values() if by.network}
            measures = [(one.measure, found[one.space]) for one in chosen]
            self.quality = Quality.against(test, measures)
            if self.labels is not None and config.sampler.guidance:
                self.told = self.labels.of_samples(config.eval.samples)
                if config.data.labels != UNIQUE:  # one of which has a sample or two
                    self.classes = Classes.of(self.told, self.labels.test, test, measures)
            if config.eval.features is not None:
                self.features = self._in_features(config.eval.features, images)
                self.shared |= self.features.shared
            self.bookends = self._bookends(images)
            self.shared |= bookends.columns(self.bookends)
            if config.eval.quality not in ONE_WORD:
                self.shared |= halves(test, measures)

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
                    samples, nearest = self._drawn(model, step)
                    columns, arrays = self.of_samples(samples, nearest)
                    row |= columns | self.shared
                row |= self.losses(model)
        finally:
            model.train(training)
        return Measured(row, arrays)

    def _drawn(self, model: nn.Module, step: int) -> tuple[Tensor, NearestTwo]:
        """Samples [M, ...] and their nearest training images.

        M is eval.samples; with eval.f_mem_width the first M, by blocks, whose f_mem has so narrow an interval. Noise
        belongs to a sample's place, so they are the first of those that would be drawn without it.
        """
        settings = self.config.eval
        stops = [settings.samples]
        if settings.f_mem_width is not None:
            stops = [*range(settings.quality_count, settings.samples, BLOCK), settings.samples]
        denoiser: Denoiser = model
        if self.told is None and settings.samples * self.config.sampler.calls >= traced.WORTH:
            denoiser = self.traced.of(model, self.noise[: settings.tile])
        denoiser = self.target.denoiser(denoiser)
        samples: list[Tensor] = []
        near: list[NearestTwo] = []
        for start, stop in pairwise([0, *stops]):
            samples.append(self._sample(denoiser, start, stop, self.told))
            if not samples[-1].isfinite().all():
                raise Diverged(step, "the samples")
            near.append(self.index.nearest_two(samples[-1]))
            nearest = NearestTwo(
                *(torch.cat([getattr(part, name) for part in near]) for name in ("d1", "d2", "i1", "i2"))
            )
            fraction = memorization.memorized_fraction(nearest.d1, nearest.d2, self.k)
            if settings.f_mem_width is not None and (fraction.high - fraction.low) / 2 <= settings.f_mem_width:
                break
        return torch.cat(samples), nearest

    def _sample(self, denoiser: Denoiser, start: int, stop: int, labels: Tensor | None = None) -> Tensor:
        """The samples from place `start` to `stop`, of which each has one of `labels` where there are any."""
        config = self.config
        return sample(
            denoiser,
            self.noise[start:stop],
            diffusion=config.diffusion,
            sampler=config.sampler,
            tile=config.eval.tile,
            first=start,
            labels=None if labels is None else labels[start:stop],
        )

    def of_samples(
        self, samples: Tensor, nearest: NearestTwo | None = None
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The columns and the arrays of `samples` [M, ...] in model space: memorization, bias, quality.

        Quality is measured on the first eval.quality_samples. `nearest` is looked for where it is not given.
        """
        settings = self.config.eval
        nearest = nearest or self.index.nearest_two(samples)
        own = self.bias.own(samples)
        columns = memorization.summarize(nearest, self.k, settings.bootstrap, seed=0)
        columns |= bias.columns(own, self.bias.null)
        if self.split.decoded is not None:
            seen = self.in_pixels.nearest_two(self.split.to_images(samples.cpu()))
            columns |= memorization.decoded_columns(seen, self.heldout_pixels, self.k_pixels)
        arrays = {name: getattr(nearest, name).numpy() for name in ("d1", "d2", "i1", "i2")} | {"own": own.numpy()}
        arrays["images"] = samples[: settings.keep_samples].cpu().numpy()
        pixels = self.split.to_pixels(samples.cpu())
        judged = pixels[: settings.quality_count]
        if self.told is not None:
            arrays["labels"] = self.told[: len(samples)].numpy()
        if self.classes is not None:
            columns |= self.classes.columns(nearest, own, judged, self.k)
        if self.features is not None:
            columns |= self.features.columns(pixels)
        return columns | self.quality(judged), arrays

    def _in_features(self, space: str, images: Tensor) -> InFeatures:
        """f_mem in `space`, which a basis of `images` in pixels is fitted to."""
        by = extractors.extractor(space, images, self.device)
        if by.network:
            self.networks[by.name] = dict(by.network)
        train, test = (self.split.to_pixels(part) for part in (self.split.train, self.split.test))
        return InFeatures(by, TrainingIndex(train), test, self.config.eval.k)

    def _bookends(self, images: Tensor) -> dict[str, dict[str, float]]:
        count = self.config.eval.quality_count
        draw = partial(self._sample, start=0, stop=count)
        real = bookends.Real(images=images, split=self.split, process=self.process, draw=draw)
        return bookends.measured(real, partial(self.quality, known=True), count)

    def losses(self, model: nn.Module) -> dict[str, float]:
        """The columns of the losses, and of the scores where they are known: of epsilon, whatever is predicted."""
        config, denoiser = self.config, self.target.denoiser(model)
        times = config.eval.t if config.train.t is None else (config.train.t,)
        columns: dict[str, float] = {}
        for kind, images in self.loss_images.items():
            settings, labels = config.eval, self.loss_labels.get(kind)
            losses = epsilon_losses(
                denoiser,
                self.process,
                images,
                t=times,
                tile=settings.tile,
                draws=settings.loss_draws,
                labels=labels,
            )
            for t, loss in losses.items():
                columns |= {f"loss_{kind}_t{t}": loss.value, f"loss_{kind}_t{t}_se": loss.se}
        if config.eval.lipschitz:
            held_out = self.split.test[: config.eval.lipschitz].to(self.device)
            columns |= lipschitz(denoiser, self.process, held_out, t=times)
        for t in times:
            columns[f"loss_gen_t{t}"] = columns[f"loss_test_t{t}"] - columns[f"loss_train_t{t}"]
        if isinstance(config.data, MixtureData):
            columns |= self._scores(denoiser, times, config.data)
        return columns

    def _scores(self, denoiser: Denoiser, times: tuple[int, ...], data: MixtureData) -> dict[str, float]:
        """How far the scores are from the exact ones, and the density where it is asked for."""
        guidance, labels, told = self.config.sampler.guidance, None, None
        if self.labels is not None:
            told = score.Told(self.labels.train, self.labels.test, guidance)
            labels = self.labels.test if guidance else None
        columns = score.score_errors(
            denoiser,
            self.process,
            self.split.train.to(self.device),
            self.loss_images["test"],
            mu=data.mu,
            sigma=data.sigma,
            scale=self.split.scale,
            t=times,
            tile=self.config.eval.tile,
            draws=self.config.eval.loss_draws,
            told=told,
        )
        count = self.config.eval.kl_samples
        if count is not None:
            columns |= likelihood.mixture_divergence(
                denoiser,
                self.process,
                self.split.test[:count].to(self.device),
                mu=self.split.scale * data.mu,
                sigma=self.split.scale * data.sigma,
                labels=None if labels is None else labels[:count],
            )
        return columns
