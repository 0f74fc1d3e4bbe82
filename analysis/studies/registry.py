"""The readers of studies, by the names that `configs/study/*.yaml` call them."""

from collections.abc import Callable

from . import clock, laws
from .reading import Reading, Request

READERS: dict[str, Callable[[Request], Reading]] = {"clock": clock.read, "laws": laws.read}


def read(reader: str, request: Request) -> Reading:
    """What the arms of `request` say of its claims. Raises InputError where they hold no runs."""
    return READERS[reader](request)
