"""Targets to tables: which memorizes more, what it copies, and whether the difference is real.

Targets are drawn one after the other from the same initial noise, and each is measured against its own training
images. Sets of training images may differ: what cannot be compared then is left out, and `notes` say so.
"""

from collections.abc import Callable, Sequence

import pandas as pd
import torch

from diffmem.compare import tables
from diffmem.compare.measure import Measured, TrainingSet, measure, sheet
from diffmem.compare.targets.base import Target
from diffmem.definitions import K
from diffmem.errors import InputError
from diffmem.metrics.panel import MEASURES
from diffmem.records import Comparison


def compare(
    targets: Sequence[Target],
    *,
    samples: int = 1000,
    k: float = K,
    device: torch.device | str = "cpu",
    progress: Callable[[str], None] = lambda words: None,
) -> Comparison:
    """Draw `samples` from each target and compare them.

    Args:
        targets: two or more, of images of one shape, with labels that differ (one alone is measured, not compared).
        samples: drawn from each target; targets made elsewhere give what they have, at most.
        k: a sample is memorized when d1/d2 < k.
        device: where networks and the search run.
        progress: called with the label of each target before it is drawn.

    Raises:
        InputError: no targets, images of different shapes, no samples, or samples with NaN.
    """
    check(targets, samples)
    notes: list[str] = []
    training_sets: dict[str, TrainingSet] = {}
    measured = []
    for target in targets:
        progress(target.label)
        key = target.images.identity
        if key not in training_sets:
            training_sets[key] = TrainingSet(target.images, k, torch.device(device))
        measured.append(measure(target, training_sets[key], samples, k, torch.device(device), notes))
    notes += _comparable(measured)
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
        sheets=[sheet(one, k) for one in measured],
        notes=list(dict.fromkeys(notes)),
        measures=MEASURES,
        k=k,
    )


def check(targets: Sequence[Target], samples: int) -> None:
    """Raise InputError where these targets cannot be compared. Draws nothing."""
    if samples < 1:
        raise InputError(f"--samples={samples}: draw at least one sample, such as --samples 1000.")
    if not targets:
        raise InputError("no target: name a run, such as runs/quickstart/digits-n64-w16-s0-...@last.")
    shapes = {target.images.shape: target.label for target in reversed(targets)}
    if len(shapes) > 1:
        words = " and ".join(f"{shape} ({label})" for shape, label in shapes.items())
        raise InputError(f"the targets make images of different shapes, {words}: compare those of one shape.")
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
