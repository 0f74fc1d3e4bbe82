"""Targets to tables: which memorizes more, what it copies, and whether the difference is real.

Targets are drawn one after the other from the same initial noise, and each is measured against its own training
images. Sets of training images may differ: what cannot be compared then is left out, and `notes` say so.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from diffmem import memory
from diffmem.compare import tables
from diffmem.compare.measure import Measured, TrainingSet, measure, sheet
from diffmem.compare.targets.base import Target
from diffmem.definitions import K, null_rate
from diffmem.errors import InputError
from diffmem.metrics import calibration
from diffmem.metrics.panel import MEASURES
from diffmem.records import Comparison


def compare(
    targets: Sequence[Target],
    *,
    samples: int = 1000,
    k: float | str = K,
    features: str | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[str], None] = lambda words: None,
) -> Comparison:
    """Draw `samples` from each target and compare them.

    Args:
        targets: two or more, of images of one shape, with labels that differ (one alone is measured, not compared).
        samples: drawn from each target; targets made elsewhere give what they have, at most.
        k: a sample is memorized when d1/d2 < k; null:RATE is the k at which held-out images pass at that rate, in
            pixels and in features.
        features: the space of `f_mem_features`, by default principal components.
        device: where networks and the search run.
        progress: called with what is done, before each target.

    Raises:
        InputError: no targets, images of different shapes, no samples, or samples with NaN.
    """
    check(targets, samples, k)
    notes: list[str] = []
    training_sets: dict[str, TrainingSet] = {}
    measured = []
    for target in targets:
        key = target.images.identity
        if key not in training_sets:
            training_sets[key] = TrainingSet(target.images, k, torch.device(device), features)
        progress(f"drawing {samples} samples of {target.label}" if target.load else f"measuring {target.label}")
        measured.append(measure(target, training_sets[key], samples, torch.device(device), notes))
    notes += [*_comparable(measured), *_beside_metrics(measured)]
    table = pd.DataFrame([one.row for one in measured])
    return Comparison(
        table=table,
        samples=pd.concat([tables.sample_rows(one) for one in measured], ignore_index=True),
        pairs=tables.pairs(measured, {key: one.heldout for key, one in training_sets.items()}),
        copied=tables.copied(measured),
        denoising=pd.DataFrame([{"target": one.target.label, **row} for one in measured for row in one.denoising]),
        ranks=tables.ranks(table),
        correlations=tables.correlations(measured, table),
        overall=tables.overall(measured),
        sheets=[sheet(one) for one in measured],
        notes=list(dict.fromkeys(notes)),
        measures=MEASURES,
        k=measured[0].k,
    )


def check(targets: Sequence[Target], samples: int, k: float | str = K) -> None:
    """Raise InputError where these targets cannot be compared. Draws nothing."""
    rate = null_rate(k)
    if samples < 1:
        raise InputError(f"--samples={samples}: draw at least one sample, such as --samples 1000.")
    if not targets:
        raise InputError("no target: name a run, such as runs/quickstart/digits-n64-w16-s0-...@last.")
    shapes = {target.images.shape: target.label for target in reversed(targets)}
    if len(shapes) > 1:
        words = " and ".join(f"{shape} ({label})" for shape, label in shapes.items())
        raise InputError(f"the targets make images of different shapes, {words}: compare those of one shape.")
    drawn = [target for target in targets if target.paired]
    if drawn:
        d = math.prod(drawn[0].images.shape)
        memory.check(4.0 * samples * 3 * d, f"--samples={samples}", f"for images of {drawn[0].images.shape}")
    if rate is not None:
        for target in targets:
            heldout = target.images.heldout
            if heldout is None or not len(heldout):
                raise InputError(
                    f"k={k} is calibrated on held-out images, and {target.label} has none: give --heldout."
                )
            calibration.check_count(len(heldout), rate)
    labels = [target.label for target in targets]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"{label} is named twice: name each target once.")


def _comparable(measured: Sequence[Measured]) -> list[str]:
    """What the comparison says about targets that do not share everything."""
    notes = []
    sets = {one.target.images.identity: one.target.images for one in measured}
    if len(sets) > 1:
        notes.append(
            f"The targets were trained on {len(sets)} different sets of images. f_mem, ratios and ranks are compared, "
            "each against its own set; the overlap of copied images is over the images that two sets share."
        )
    loose = [one.target.label for one in measured if not one.target.paired]
    if loose and len(measured) > 1:
        notes.append(
            f"{', '.join(loose)}: samples without known noise are not paired, so their tests are Fisher's and their "
            "intervals unpaired; Cochran's Q and the consistency leave them out."
        )
    return notes


def _beside_metrics(measured: Sequence[Measured]) -> list[str]:
    """Why a checkpoint's f_mem is not the one in its run's metrics.jsonl: more samples, or fewer."""
    both = [(one.row, one.target.row) for one in measured if one.target.row.get("k") == one.k]
    other = [
        (here, there) for here, there in both if there.get("f_mem_total", here["f_mem_total"]) != here["f_mem_total"]
    ]
    if not other:
        return []
    here, there = max(other, key=lambda pair: abs(pair[0]["f_mem"] - pair[1]["f_mem"]))
    least = min(here["f_mem_total"], there["f_mem_total"])
    return [
        f"f_mem here is of {here['f_mem_total']} samples, in a run's metrics.jsonl of {there['f_mem_total']}: the "
        f"first {least} are the same, and more tell more. {here['target']} has {_share(here)} here and {_share(there)} "
        "there."
    ]


def _share(row: Mapping[str, Any]) -> str:
    return f"{row['f_mem']:.3f} [{row['f_mem_low']:.3f}, {row['f_mem_high']:.3f}]"
