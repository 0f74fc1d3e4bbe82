"""How the learning rate goes down: the word `KIND:STEPS` of `optimizer.decay`, and the share of lr that is left.

    cosine   (1 + cos(pi tau / STEPS)) / 2     (Loshchilov & Hutter 2017, "SGDR", Eq. 5, without restarts)
    linear   1 - tau / STEPS

of step tau < STEPS, and 0 from there on: nothing is learned any more. The length is in the word, and not that of the
run, so that a run that stops earlier has trained as one that goes on.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from diffmem.arguments import shown
from diffmem.errors import InputError

KINDS: dict[str, Callable[[float], float]] = {
    "cosine": lambda part: (1 + math.cos(math.pi * part)) / 2,
    "linear": lambda part: 1 - part,
}
MOST = 10**10  # steps, as of train.steps


class Decay(NamedTuple):
    """One of KINDS, over so many optimizer steps."""

    kind: str
    steps: int

    def share(self, step: int) -> float:
        """The share of lr in the step after `step` steps."""
        return KINDS[self.kind](min(step / self.steps, 1.0))


def decay_of(word: str) -> Decay:
    """The decay that `word` names. Raises InputError for any other."""
    kind, _, steps = word.partition(":")
    if kind not in KINDS or not (steps.isascii() and steps.isdigit() and 1 <= int(steps[:20]) <= MOST):
        raise InputError(
            f"optimizer.decay={shown(word)} is none of {', '.join(f'{name}:STEPS' for name in KINDS)} with 1 to 10**10 "
            "optimizer steps, such as cosine:10000: use one of them, or null."
        )
    return Decay(kind, int(steps))
