"""One target measured against the images it was trained on: a row, its samples, and what the sheet shows.

Letters: M samples, n training images.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmem.compare.targets.base import ImageSets, Model, Target
from diffmem.errors import InputError
from diffmem.metrics import panel
from diffmem.metrics.data_copying import data_copying
from diffmem.metrics.features.pca import Projection, principal_components
from diffmem.metrics.memorization import leave_one_out, null_columns, summarize
from diffmem.metrics.search import NearestTwo, TrainingIndex
from diffmem.records import CopySheet

KEPT = 1000  # samples of each target that stay in memory, for consistency and the sheet
SHOWN = 8  # samples in each half of a target's sheet


@dataclass
class Measured:
    """What one target left behind."""

    target: Target
    row: dict[str, Any]
    nearest: NearestTwo
    memorized: np.ndarray  # bool [M]
    kept: Tensor  # [up to KEPT, *shape] pixels
    denoising: list[dict[str, float]] = field(default_factory=list)


class TrainingSet:
    """A training set made ready to measure targets against: its index, its null and its feature space."""

    def __init__(self, images: ImageSets, k: float, device: torch.device) -> None:
        self.index = TrainingIndex(images.train, device=device)
        heldout = images.heldout if images.heldout is not None and len(images.heldout) else None
        self.project: Projection = principal_components(images.train if heldout is None else heldout)
        self.heldout = heldout
        self.nulls: dict[str, float] = {}
        if heldout is not None:
            nearest = self.index.nearest_two(heldout)
            half = len(heldout) // 2
            self.nulls = panel.of_samples(heldout, nearest, self.index, None, self.project, k)
            if half:
                distinct = self.index.rows(self.index.distinct)
                self.nulls["c_t"] = data_copying(heldout[:half], heldout[half:], distinct)
            self.how = f"{len(heldout)} held-out images"
        else:
            nearest = leave_one_out(self.index)
            self.nulls["gap_ratio"] = float((nearest.d1 / nearest.d2).mean())
            self.how = "training images, each against the others"
        self.columns = null_columns(nearest, k)


def measure(
    target: Target, training_set: TrainingSet, samples: int, k: float, device: torch.device, notes: list[str]
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
    memorized = ratio < k
    values = panel.of_samples(images, nearest, training_set.index, training_set.heldout, training_set.project, k)
    denoising, nulls = [], dict(training_set.nulls)
    if model is not None and training_set.heldout is not None and len(training_set.heldout) > 1:
        denoising = _denoising(model, target.images, device)
        for name in ("psnr_gap", "score_distance"):
            values[name] = float(np.mean([row[name] for row in denoising]))
            nulls[name] = float(np.mean([row[f"{name}_null"] for row in denoising]))
    else:
        why = "there is no network" if model is None else "there are no held-out images"
        notes.append(f"{target.label}: PSNR gap and distance to the empirical score are left out, {why}.")
    if training_set.heldout is None:
        notes.append(
            f"{target.label}: no held-out images, so the null of f_mem comes from the {training_set.how}; "
            "C_T is left out."
        )
    notes += [f"{target.label}: {note}" for note in target.notes]
    copies = nearest.i1[torch.from_numpy(memorized)].unique()
    distinct = len(training_set.index.distinct)
    row: dict[str, Any] = {
        "target": target.label,
        "kind": target.kind,
        "step": target.step,
        "n": len(target.images.train),
        "training_images": target.images.identity,
        "sampler": target.how,
        **summarize(nearest, k),
        **training_set.columns,
        "null_from": training_set.how,
        "train_duplicates": training_set.index.duplicates,
        "copied_images": len(copies),
        "coverage": len(copies) / distinct,
    }
    for name in panel.MEASURES:
        if name != "f_mem":
            row[name], row[f"{name}_null"] = values.get(name, np.nan), nulls.get(name, np.nan)
    return Measured(target, row, nearest, memorized, images[:KEPT], denoising)


def _denoising(model: Model, images: ImageSets, device: torch.device) -> list[dict[str, float]]:
    assert images.heldout is not None
    train, heldout = (model.space.to_model(some).to(device) for some in (images.train, images.heldout))
    return panel.of_denoiser(model.denoiser, model.process, train, heldout, scale=model.space.scale)


def sheet(one: Measured, k: float) -> CopySheet:
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
        k=k,
    )
