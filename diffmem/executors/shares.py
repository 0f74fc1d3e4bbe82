"""Which run goes to which GPU, in what share of it.

A share is a fraction of the memory that a GPU has for runs: what the run takes at most (`training/footprint.py`) over
that memory. The shares of one GPU never come to more than one. A run goes to the GPU with the largest free share, which
also spreads runs over all of them; what is free after it is for any run that fits, whatever its shape.

A shape that has not been measured takes all that is free of a GPU, to be measured there; other runs of that shape wait
for the result. Where it does not fit what is free, it is measured again on a GPU that is empty.
"""

import threading
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from diffmem.training import footprint
from diffmem.training.machine import Gpu
from diffmem.training.plan import Plan

FOR_RUNS = Fraction(9, 10)  # of a GPU's memory; the rest is for what the measured steps have not shown
WHOLE = Fraction(1)


@dataclass(frozen=True)
class Share:
    """`part` of the GPU, for a run, or for the measurement of its shape. No GPU: none is left that works."""

    gpu: Gpu | None
    part: Fraction
    measured: Hashable | None = None

    @property
    def alone(self) -> bool:
        """Whether nothing else is on the GPU."""
        return self.part == WHOLE


class Shares:
    """Of these GPUs, among at most `most` runs on each: by what they take, or `per_device` equal ones."""

    def __init__(self, gpus: Sequence[Gpu], most: int, per_device: int | None = None) -> None:
        self._free = dict.fromkeys(gpus, WHOLE)
        self._most, self._per_device = most, per_device
        self._alone: set[Path] = set()
        self._bytes: dict[Hashable, float] = {}
        self._measuring: set[Hashable] = set()
        self._crowded: set[Hashable] = set()
        self._guard = threading.Lock()

    def take(self, planned: Plan) -> Share | None:
        """The share of the run where it fits, None where it fits nowhere now."""
        with self._guard:
            if not self._free:
                return Share(None, WHOLE)
            shape = footprint.shape(planned.config)
            unknown = self._per_device is None and planned.run.path not in self._alone and shape not in self._bytes
            if unknown and shape in self._measuring:
                return None
            found = self._measurement(shape) if unknown else self._largest(planned, shape)
            if found is None or found.gpu is None:
                return None
            self._free[found.gpu] -= found.part
            if unknown:
                self._measuring.add(shape)
            return found

    def free(self, place: Share) -> None:
        """The share may be taken again."""
        with self._guard:
            self._measuring.discard(place.measured)
            if place.gpu in self._free:
                self._free[place.gpu] += place.part

    def learn(self, share: Share, taken: float | None) -> None:
        """What the measurement in `share` has found: bytes, or None where they were more than there were."""
        with self._guard:
            if taken is not None:
                self._bytes[share.measured] = taken
            elif share.alone:
                self._bytes[share.measured] = float("inf")
            else:
                self._crowded.add(share.measured)

    def set_alone(self, planned: Plan) -> None:
        """From now on the run takes a whole GPU."""
        with self._guard:
            self._alone.add(planned.run.path)

    def drop(self, gpu: Gpu) -> bool:
        """The GPU takes no more runs. Whether it did until now."""
        with self._guard:
            return self._free.pop(gpu, None) is not None

    def _measurement(self, shape: Hashable) -> Share | None:
        """All that is free of the emptiest GPU, where that is something: all of it where less was not enough."""
        gpu = max(self._free, key=lambda gpu: self._free[gpu])
        least = WHOLE if shape in self._crowded else Fraction(1, self._most)
        return Share(gpu, self._free[gpu], shape) if self._free[gpu] >= least else None

    def _largest(self, planned: Plan, shape: Hashable) -> Share | None:
        """The share of the run on the emptiest GPU that has as much."""
        fits = [Share(gpu, part) for gpu in self._free if (part := self._part(planned, shape, gpu)) <= self._free[gpu]]
        return max(fits, key=lambda share: self._free[share.gpu], default=None)  # type: ignore[index]

    def _part(self, planned: Plan, shape: Hashable, gpu: Gpu) -> Fraction:
        if planned.run.path in self._alone:
            return WHOLE
        if self._per_device is not None:
            return Fraction(1, self._per_device)
        taken, there = self._bytes[shape] + footprint.beside(planned.config), FOR_RUNS * gpu.memory
        return WHOLE if taken >= there else max(Fraction(int(taken)) / there, Fraction(1, self._most))
