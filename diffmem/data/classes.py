"""The images of some classes of a data set (`data.classes`), in its order, each in the split that it lies in."""

from collections.abc import Sequence

import numpy as np

from diffmem.data.dataset import Dataset, kept_only
from diffmem.errors import InputError


def of_classes(dataset: Dataset, classes: Sequence[int]) -> Dataset:
    """The images of `dataset` whose label is one of `classes`, which keep their labels.

    Raises InputError where the set has no labels or not these, or too few images of them.
    """
    option = f"data.classes=[{','.join(map(str, classes))}]"
    if dataset.labels is None:
        raise InputError(f"{option} needs labels, and data={dataset.name} has none: leave it out.")
    there = np.unique(dataset.labels).tolist()
    missing = sorted({*classes} - {*there})
    if missing:
        known = f"{there[0]} to {there[-1]}" if there == list(range(there[0], there[-1] + 1)) else str(there)
        raise InputError(f"{option} names {missing[0]}, and the labels of data={dataset.name} are {known}.")
    return kept_only(dataset, np.flatnonzero(np.isin(dataset.labels, classes)), option)
