"""A data set on a machine that does not hold its files: sent by one that does, kept here by its checksum.

What is kept is an entry of the cache, so a set is sent to a machine once, whatever number of processes ask for it, and
is sent again where its bytes no longer give its checksum.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from diffmem.data.cache import prepared
from diffmem.data.dataset import CHUNK, Dataset
from diffmem.errors import InputError

KIND = "received"  # of an entry of the cache


@dataclass(frozen=True)
class Parcel:
    """A data set but for its images: `about` has none of them, `count` says how many there are."""

    about: Dataset
    count: int

    @classmethod
    def of(cls, dataset: Dataset) -> "Parcel":
        return cls(replace(dataset, stored=np.array(dataset.stored[:0])), dataset.count)

    def unpack(self, fetch: Callable[[], np.ndarray]) -> Dataset:
        """The set with this machine's copy of its images, or else with what `fetch` brings: stored values as they are
        in `Dataset.stored`. Raises InputError where they are not those of its checksum, or the cache can't be written.
        """
        empty = self.about.stored
        shape = (self.count, *empty.shape[1:-1], empty.shape[-1] * empty.itemsize)
        recipe = {"sha256": self.about.sha256, "dtype": empty.dtype.str}
        found, sha256 = prepared(KIND, recipe, shape, lambda: _blocks(fetch()))
        if sha256 != self.about.sha256:
            raise InputError(
                f"data={self.about.name} came to this machine with another checksum than it was sent with: its images "
                "changed under the sweep that sent them; put them back and start it again."
            )
        return replace(self.about, stored=found.view(empty.dtype))


def _blocks(stored: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(stored), CHUNK):
        yield np.ascontiguousarray(stored[start : start + CHUNK]).view(np.uint8)
