"""Which checkpoints of one training are targets: a step, `last`, `best` or `all`."""

from collections.abc import Callable
from pathlib import Path

from diffmem.errors import InputError


def pick_steps(path: Path, which: str, steps: list[int], best: Callable[[], int]) -> list[int]:
    """Those of the saved `steps` (ascending) of the training in `path` that `which` picks; `best()` gives the best.

    Raises InputError where nothing is saved, and for a step that is not.
    """
    if not steps:
        raise InputError(f"{path} has no checkpoint yet: wait for the first one.")
    if which == "all":
        return steps
    if which == "last":
        return steps[-1:]
    if which == "best":
        return [best()]
    step = int(which)
    if step not in steps:
        near = sorted(sorted(steps, key=lambda known: abs(known - step))[:3])
        saved = ", ".join(map(str, near))
        raise InputError(f"{path} has no checkpoint at step {step}: the nearest saved are {saved}.")
    return [step]
