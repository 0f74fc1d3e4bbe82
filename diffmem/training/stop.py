"""The rule of `stop`: a run ends `stop.after` checkpoints past the first whose f_mem is above `stop.f_mem`."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from diffmem.config.settings import StopConfig


class Stop(NamedTuple):
    """`passed` is the step whose f_mem was the first above the level, `step` the one that ends the run."""

    passed: int
    step: int


def stopped(rule: StopConfig, rows: Sequence[Mapping[str, Any]]) -> Stop | None:
    """Where the rule ends a run with these `rows`, in step order; None where it goes on."""
    if rule.f_mem is None:
        return None
    above = [place for place, row in enumerate(rows) if row["f_mem"] > rule.f_mem]
    if not above or len(rows) - 1 - above[0] < rule.after:
        return None
    return Stop(rows[above[0]]["step"], rows[above[0] + rule.after]["step"])
