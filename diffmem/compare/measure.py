"""One target measured against the images it was trained on: a row, its samples, and what the sheet shows.

Letters: M samples, n training images.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmem.compare.targets.base import ImageSets, Model, Target
from diffmem.definitions import THRESHOLD
from diffmem.diffusion.process import Denoiser
from diffmem.errors import InputError
from diffmem.metrics import calibration, panel
from diffmem.metrics.bias import Bias
from diffmem.metrics.data_copying import data_copying
from diffmem.metrics.features.extractors import extractor
from diffmem.metrics.features.gap import FeatureIndex
from diffmem.metrics.features.memorized import features_of
from diffmem.metrics.features.pca import principal_components
from diffmem.metrics.memorization import leave_one_out, null_columns, summarize
from diffmem.metrics.mirrored import training_index
from diffmem.metrics.search import NearestTwo, TrainingIndex
from diffmem.records import CopySheet

NULL_LIMIT = 0.5  # null of f_mem above which it says nothing
KEPT = 1000  # samples of each target that stay in memory, for consistency and the sheet
SHOWN = 8  # samples in each half of a target's sheet


@dataclass
class Measured:
    """What one target left behind."""

    target: Target
    row: dict[str, Any]
    nearest: NearestTwo
    memorized: np.ndarray  # bool [M]
    k: float  # memorized where d1/d2 < k
    kept: Tensor  # [up to KEPT, *shape] pixels
    denoising: list[dict[str, float]] = field(default_factory=list)


class TrainingSet:
    """A training set made ready to measure targets against: its index, its null, its feature space and thresholds.

    `k` is a number, or null:RATE, which is calibrated in pixels and in features. `space` is the space of features, by
    default principal components.
    """

    def __init__(self, images: ImageSets, k: float | str, device: torch.device, space: str | None = None) -> None:
        self.index = training_index(images.train, flips=images.flips, device=device)
        heldout = images.heldout if images.heldout is not None and len(images.heldout) else None
        self.features = feature_index(self.index, images.train if heldout is None else heldout, space, device)
        self.heldout = heldout
        self.nulls: dict[str, float] = {}
        self.bias = Bias(self.index, heldout) if heldout is not None and len(heldout) > 1 else None
        if heldout is not None:
            nearest = self.index.nearest_two(heldout)
            half = len(heldout) // 2
            self.k = calibration.threshold(k, nearest)
            self.k_features = self.k if self.k == k else calibration.threshold(k, self.features.nearest_two(heldout))
            self.nulls = self.panel(heldout, nearest, None)
            if half:
                distinct = self.index.rows(self.index.distinct)
                self.nulls["c_t"] = data_copying(heldout[:half], heldout[half:], distinct)
            if self.bias is not None:
                self.nulls["p_train"] = self.bias.null.value
            self.how = f"{len(heldout)} held-out images"
        else:
            nearest = leave_one_out(self.index)
            self.k = self.k_features = float(k)  # without held-out images nothing is calibrated: `comparison.check`
            self.nulls["gap_ratio"] = float((nearest.d1 / nearest.d2).mean())
            self.how = "training images, each against the others"
        self.columns = null_columns(nearest, self.k)
        if self.k != k:
            self.columns |= {THRESHOLD: self.k, "f_mem_features_threshold": self.k_features}

    def panel(self, images: Tensor, nearest: NearestTwo, heldout: Tensor | None) -> dict[str, float]:
        """The panel's measures of `images` [M, ...] whose nearest training images are `nearest`."""
        return panel.of_samples(images, nearest, self.index, heldout, self.features, self.k, self.k_features)


def feature_index(index: TrainingIndex, fit: Tensor, space: str | None, device: torch.device) -> FeatureIndex:
    """The training images of `index` in the features of `space`, by default principal components; fitted to `fit`."""
    if space is None:
        return FeatureIndex(index, principal_components(fit))
    return features_of(extractor(space, fit, device), index)


def measure(
    target: Target, training_set: TrainingSet, samples: int, device: torch.device, notes: list[str]
) -> Measured:
    """Draw `samples` of `target` and measure them and its network; what is left out is added to `notes`.

    Raises InputError for samples that hold NaN or infinite values.
    """
    model = target.load(device) if target.load else None
    images = target.draw(samples, model)
    if len(images) < samples:
        notes.append(f"{target.label} has {len(images)} samples, fewer than the {samples} asked for.")
    try:
        nearest = training_set.index.nearest_two(images.to(device))
    except InputError as error:
        raise InputError(f"{target.label}: {error}") from error
    ratio = (nearest.d1 / nearest.d2).numpy()
    memorized = ratio < training_set.k
    values = training_set.panel(images, nearest, training_set.heldout)
    if training_set.bias is not None:
        values["p_train"] = float(training_set.bias.own(images).mean())
    denoising, nulls = [], dict(training_set.nulls)
    denoiser = model and model.denoiser
    if model and denoiser and training_set.heldout is not None and len(training_set.heldout) > 1:
        denoising = _denoising(denoiser, model, target.images, device)
        for name in ("psnr_gap", "score_distance"):
            values[name] = float(np.mean([row[name] for row in denoising]))
            nulls[name] = float(np.mean([row[f"{name}_null"] for row in denoising]))
    else:
        why = "there are no held-out images" if denoiser else "there is no network"
        if model and not denoiser:
            why = "the network was always told a label (train.label_dropout=0)"
        notes.append(f"{target.label}: PSNR gap and distance to the empirical score are left out, {why}.")
    if training_set.heldout is None:
        notes.append(
            f"{target.label}: no held-out images, so the null of f_mem comes from the {training_set.how}; "
            "p_train and C_T are left out."
        )
    notes += [f"{target.label}: {note}" for note in target.notes]
    notes += target.images.notes
    if training_set.columns["f_mem_null"] > NULL_LIMIT:
        notes.append(
            f"{target.label}: the null of f_mem is {training_set.columns['f_mem_null']:.3f}: {training_set.how} lie as "
            "near to training images as copies do, so f_mem tells nothing here."
        )
    copies = nearest.i1[torch.from_numpy(memorized)].unique()
    distinct = len(training_set.index.distinct)
    row: dict[str, Any] = {
        "target": target.label,
        "kind": target.kind,
        "step": target.step,
        "n": len(target.images.train),
        "training_images": target.images.identity,
        "sampler": target.how,
        **summarize(nearest, training_set.k),
        **training_set.columns,
        "null_from": training_set.how,
        "train_duplicates": training_set.index.duplicates,
        "copied_images": len(copies),
        "coverage": len(copies) / distinct,
    }
    for name in panel.MEASURES:
        if name != "f_mem":
            row[name], row[f"{name}_null"] = values.get(name, np.nan), nulls.get(name, np.nan)
    return Measured(target, row, nearest, memorized, training_set.k, images[:KEPT], denoising)


def _denoising(denoiser: Denoiser, model: Model, images: ImageSets, device: torch.device) -> list[dict[str, float]]:
    assert images.heldout is not None
    train, heldout = (model.space.to_model(some).to(device) for some in (images.train, images.heldout))
    return panel.of_denoiser(denoiser, model.process, train, heldout, scale=model.space.scale)


def sheet(one: Measured) -> CopySheet:
    """The samples of lowest ratio and random ones, each with its two nearest training images, in pixels."""
    ratio = (one.nearest.d1 / one.nearest.d2).numpy()[: len(one.kept)]
    lowest = np.argsort(ratio, kind="stable")[:SHOWN]
    rest = np.setdiff1d(np.arange(len(ratio)), lowest)
    drawn = np.sort(np.random.default_rng(0).choice(rest, min(SHOWN, len(rest)), replace=False))
    chosen = np.concatenate([lowest, drawn]).astype(np.int64)
    train = one.target.images.train
    places = torch.from_numpy(chosen)
    return CopySheet(
        target=one.target.label,
        f_mem=one.row["f_mem"],
        lowest=len(lowest),
        samples=one.kept[places].numpy(),
        nearest=train[one.nearest.i1[places]].numpy(),
        second=train[one.nearest.i2[places]].numpy(),
        ratio=ratio[chosen],
        k=one.k,
    )
