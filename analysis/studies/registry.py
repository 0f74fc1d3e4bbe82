"""The readers of studies, by the names that `configs/study/*.yaml` call them."""

from collections.abc import Callable

from . import averages, interventions, laws, noise_resolved
from .reading import Reading, Request

READERS: dict[str, Callable[[Request], Reading]] = {
    "averages": averages.read,
    "laws": laws.read,
    "interventions": interventions.read,
    "noise_resolved": noise_resolved.read,
}


def read(reader: str, request: Request) -> Reading:
    """What the arms of `request` say of its claims. Raises InputError where they hold no runs."""
    return READERS[reader](request)
