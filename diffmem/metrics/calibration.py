"""The threshold k at which held-out images pass as copies at a chosen rate: thresholds of all spaces mean the same.

    k = the largest value with  share of held-out images with d1/d2 < k  <=  rate

The null of f_mem is then at most the rate by construction. A rate below one in the number of held-out images cannot
be told from zero, and is refused.

Letters: N held-out images.
"""

import math

from torch import Tensor

from diffmem.definitions import null_rate
from diffmem.errors import InputError
from diffmem.metrics.memorization import gap_ratio
from diffmem.metrics.search import NearestTwo


def threshold(k: float | str, heldout: NearestTwo) -> float:
    """The number that `k` stands for, given the held-out images' two nearest training images: itself, or calibrated.

    Raises InputError as `calibrated` does.
    """
    rate = null_rate(k)
    return float(k) if rate is None else calibrated(gap_ratio(heldout.d1, heldout.d2), rate)


def calibrated(ratio: Tensor, rate: float) -> float:
    """k of held-out images with `ratio` d1/d2 [N] at `rate`. Raises InputError for fewer than 1 / rate of them."""
    check_count(len(ratio), rate)
    k = float(ratio.sort().values[math.floor(rate * len(ratio) + 1e-9)])
    if k == 0:
        raise InputError(
            f"k=null:{rate:g} cannot be calibrated: {int((ratio == 0).sum())} of the {len(ratio)} held-out images are "
            "training images too. Remove them."
        )
    return k


def check_count(count: int, rate: float) -> None:
    """Raises InputError where `count` held-out images are too few for a rate."""
    if count * rate < 1 - 1e-9:
        raise InputError(
            f"k=null:{rate:g} needs at least {math.ceil(1 / rate)} held-out images, and there are {count}: use "
            f"null:{1 / count:.2g} or more."
        )
