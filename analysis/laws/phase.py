"""The phase diagram: at a training step, which (n, W) memorize, which generalize, which are still untrained.

    memorizing    τ_mem <= step           (absorbing: from then on the run stays so)
    generalizing  τ_gen <= step < τ_mem
    untrained     step < τ_gen, step < τ_mem

A run that ended before `step`, its f_mem unreached, is unknown there. The boundary between runs that memorize and runs
that do not is that of `boundary`.

N runs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .boundary import boundary, is_past

PHASES = ("memorizing", "generalizing", "untrained", "not memorizing", "unknown")
LEAST_N = 3


class PhaseRefused(ValueError):
    """Too few values of n, or no time, for a phase diagram."""


def diagram(times: pd.DataFrame, law: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`phases` and `boundary` of a family at its `round_steps`.

    Raises PhaseRefused for fewer than three values of n, or where no run reached a time.
    """
    distinct = times["n"].nunique()
    if distinct < LEAST_N:
        raise PhaseRefused(f"the runs have {distinct} distinct n, and a phase diagram needs {LEAST_N}")
    steps = round_steps(times)
    return phases(times, steps), boundary(times, steps, law)


def round_steps(times: pd.DataFrame) -> list[int]:
    """The steps 1, 2 and 5 times a power of ten, from the last before any time was reached to the end of the runs.

    Raises PhaseRefused where no run reached a time.
    """
    reached = pd.concat([times.loc[times[f"{name}_status"] == "reached", name] for name in ("tau_mem", "tau_gen")])
    if reached.empty:
        raise PhaseRefused("no run reached tau_mem or tau_gen")
    last = float(max(times["tau_mem_last_step"].max(), reached.max()))
    steps = [digit * 10**power for power in range(int(np.log10(max(last, 1))) + 1) for digit in (1, 2, 5)]
    before = [step for step in steps if step < reached.min()][-1:]
    return before + [step for step in steps if reached.min() <= step <= last]


def phases(times: pd.DataFrame, steps: Sequence[int]) -> pd.DataFrame:
    """The phase of every run at every step: the contents of `phase.csv`.

    `times` is what `family_times` returns. Columns: step, n, width, phase (one of `PHASES`), seed, run. A run known not
    to memorize whose quality says nothing is "not memorizing".
    """
    keys = times[["n", "width", "seed", "run"]]
    parts = [keys.assign(step=step, phase=_phase_at(times, step)) for step in steps]
    table = pd.concat(parts, ignore_index=True)[["step", "n", "width", "phase", "seed", "run"]]
    return table.sort_values(["step", "width", "n", "seed"], kind="stable", ignore_index=True)


def _phase_at(times: pd.DataFrame, step: int) -> NDArray[np.str_]:
    memorizes, before_mem = is_past(times, "tau_mem", step)
    good, before_gen = is_past(times, "tau_gen", step)
    cases = [memorizes, before_mem & good, before_mem & before_gen, before_mem]
    return np.select(cases, PHASES[:4], PHASES[4])
