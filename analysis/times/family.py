"""The training times of a run: τ_mem, when f_mem leaves its null, and τ_gen, when quality is there.

Times are read off curves y(τ), linearly in log τ between the last point before and the first after, and never
extrapolated. A time not reached by the last step is right-censored (τ > last step), one already true at the first
point is left-censored; neither has a value, only the step it is known to lie beyond. The definitions stand in
`memorization_times` and `generalization_times`.
"""

import pandas as pd

from diffmem.definitions import quality_column
from diffmem.errors import InputError

from ..tables.family import Family
from .curves import Curve, Draws, family_curves, observed, resample, where_quality
from .tau_gen import GEN_DEFINITIONS, Level, common_level, given_level
from .tau_mem import MEM_DEFINITIONS
from .timescale import Timescale, never


def tau_mem(curve: Curve, definition: str = "fmem_crosses", draws: Draws | None = None) -> Timescale:
    """Memorization time of one run, with an interval where resampled `draws` are given.

    Raises InputError for an unknown definition or a curve without f_mem or its null.
    """
    if definition not in MEM_DEFINITIONS:
        raise InputError(f"tau_mem definition {definition!r} is not one of {', '.join(MEM_DEFINITIONS)}.")
    return MEM_DEFINITIONS[definition](curve, draws or observed(curve))


def tau_gen(
    curve: Curve,
    definition: str = "quality_reaches",
    *,
    level: Level | float | None = None,
    memorization: Timescale | None = None,
    draws: Draws | None = None,
) -> Timescale:
    """Generalization time of one run: its quality at `level`, and there up to τ_mem (`memorization`).

    By default the level is that of the run alone (`common_level`), which says nothing about other runs, and τ_mem that
    of `tau_mem`; a curve without f_mem counts to its end. Raises InputError for an unknown definition or a curve
    without what it reads.
    """
    if definition not in GEN_DEFINITIONS:
        raise InputError(f"tau_gen definition {definition!r} is not one of {', '.join(GEN_DEFINITIONS)}.")
    draws = draws or observed(curve)
    memorization = memorization or (never(curve, draws.n_boot) if curve.count is None else tau_mem(curve, draws=draws))
    if level is None:
        level = common_level([curve], [memorization], [draws])
    elif not isinstance(level, Level):
        level = given_level(level, draws.n_boot)
    if definition.startswith("quality"):
        curve, draws = where_quality(curve, draws)
    return GEN_DEFINITIONS[definition](curve, level, memorization, draws)


def family_times(
    family: Family,
    n_boot: int = 1000,
    seed: int = 0,
    *,
    mem: str = "fmem_crosses",
    gen: str = "quality_reaches",
    level: float | None = None,
    quality: str | None = None,
    loss_t: int | None = None,
) -> pd.DataFrame:
    """τ_mem and τ_gen of every run with 95% intervals: the contents of `timescales.csv`.

    A time that is not reached is NaN, with its status, the last step of its run (the first, where it was true before)
    in `*_last_step`, and in `*_bound` the step that a law takes it to lie beyond. `level`
    is the common level of quality, by default that of `common_level`; `quality` names the measure; `mem` and `gen` the
    definitions; `loss_t` the diffusion time of those that read losses, by default the smallest there is.
    Raises InputError where the table lacks what a definition reads.
    """
    curves = family_curves(family, quality, loss_t)
    draws = resample(family, curves, n_boot, seed)
    memorization = [tau_mem(curve, mem, drawn) for curve, drawn in zip(curves, draws, strict=True)]
    common = common_level(curves, memorization, draws) if level is None else given_level(level, n_boot)
    measure = quality_column(family.rows, quality)
    records = []
    for entry, curve, drawn, memorized in zip(family.runs.to_dict("records"), curves, draws, memorization, strict=True):
        generalization = tau_gen(curve, gen, level=common, memorization=memorized, draws=drawn)
        notes = [*drawn.notes, *(f"tau_mem: {note}" for note in memorized.notes)]
        notes += [f"tau_gen: {note}" for note in generalization.notes]
        if curve.run in common.left_out:
            notes.append(f"left out of the common level: {common.left_out[curve.run]}")
        records.append(
            {name: entry[name] for name in ("run", "n", "width", "seed", "index")}
            | _record("tau_mem", memorized)
            | _record("tau_gen", generalization)
            | {"quality": measure, "level": common.values[0], "level_set_by": common.set_by, "notes": "; ".join(notes)}
        )
    return pd.DataFrame(records)


def quality_read(times: pd.DataFrame) -> str | None:
    """The measure of quality that a table of `family_times` was read off; None where it does not say."""
    named = times["quality"].dropna() if "quality" in times else pd.Series(dtype=object)
    return str(named.iloc[0]) if len(named) else None


def _record(name: str, time: Timescale) -> dict[str, object]:
    return {
        name: time.value,
        f"{name}_low": time.low,
        f"{name}_high": time.high,
        f"{name}_status": time.status,
        f"{name}_last_step": time.last_step,
        f"{name}_bound": time.bound,
        f"{name}_definition": time.definition,
    }
