"""The settings in the name of a folder of the study's own code (Bonnaire et al. 2025).

<data><size>_<n>_<W>_<optimizer>_<batch>_<lr>_index<i>[_t<t>]       CelebA32_1024_32_SGD_Momentum_512_0.0100_index0
"""

import re
from dataclasses import dataclass
from pathlib import Path

from diffmem.errors import InputError

NAME = re.compile(  # from the right: the data set's name may hold what looks like a number too
    r"(?P<data>.*\D)(?P<size>\d+)_(?P<n>\d+)_(?P<width>\d+)_(?P<optimizer>[^\W\d]\w*)_(?P<batch>\d+)"
    r"_(?P<lr>\d+\.\d+)_index(?P<index>\d+)(?:_t(?P<t>\d+))?"
)


@dataclass(frozen=True)
class StudyFolder:
    """What the name says. `t` is the fixed diffusion time of a run that had one."""

    data: str
    size: int
    n: int
    width: int
    optimizer: str
    batch: int
    lr: float
    index: int
    t: int | None


def parse(folder: Path) -> StudyFolder:
    """The settings in the name of `folder`. Raises InputError for another kind of name."""
    found = NAME.fullmatch(folder.resolve().name)
    if found is None:
        raise InputError(
            f"{folder} holds files of the study's code, which names its folder like "
            "CelebA32_1024_32_SGD_Momentum_512_0.0100_index0 (data and size, n, width, optimizer, batch, learning "
            "rate, index), but its name does not say its settings: rename it."
        )
    return StudyFolder(
        data=found["data"],
        size=int(found["size"]),
        n=int(found["n"]),
        width=int(found["width"]),
        optimizer=found["optimizer"],
        batch=int(found["batch"]),
        lr=float(found["lr"]),
        index=int(found["index"]),
        t=None if found["t"] is None else int(found["t"]),
    )
