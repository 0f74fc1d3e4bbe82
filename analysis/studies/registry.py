"""The readers of studies, by the names that `configs/study/*.yaml` call them."""

from collections.abc import Callable

from . import (
    averages,
    capacity,
    clock,
    interventions,
    laws,
    learning,
    noise_resolved,
    samples,
    thresholds,
    widths,
)
from .reading import Reading, Request

READERS: dict[str, Callable[[Request], Reading]] = {
    "averages": averages.read,
    "capacity": capacity.read,
    "clock": clock.read,
    "interventions": interventions.read,
    "laws": laws.read,
    "learning": learning.read,
    "noise_resolved": noise_resolved.read,
    "samples": samples.read,
    "thresholds": thresholds.read,
    "widths": widths.read,
}


def read(reader: str, request: Request) -> Reading:
    """What the arms of `request` say of its claims. Raises InputError where they hold no runs."""
    return READERS[reader](request)
