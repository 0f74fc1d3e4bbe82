"""The training times of a run: τ_gen, when quality is there, τ_bias, when samples lean towards the training images,
and τ_mem, when they are copies.

Times are read off curves y(τ), linearly in log τ (shares in log odds) between the last point before and the first
after, and never extrapolated. A time not reached by the last step is right-censored (τ > last step), one already true
at the first point is left-censored; neither has a value, only the step it is known to lie beyond. The definitions stand
in `tau_mem`, `tau_bias` and `tau_gen`.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from diffmem.definitions import as_distance, quality_column
from diffmem.errors import InputError

from ..tables.family import Family
from .curves import Curve, Draws, bias_curves, family_curves, observed, resample, where_quality
from .level import Level, common_level, unreachable
from .tau_bias import BIAS_DEFINITIONS
from .tau_gen import GEN_DEFINITIONS, score_reaches
from .tau_mem import MEM_DEFINITIONS, fmem_onset, score_turns
from .timescale import Timescale, never, refused

NO_LEVEL = Level(math.nan)


def tau_mem(curve: Curve, definition: str = "fmem_crosses", draws: Draws | None = None) -> Timescale:
    """Memorization time of one run, with an interval where resampled `draws` are given.

    Raises InputError for an unknown definition or a curve without f_mem or its null.
    """
    if definition not in MEM_DEFINITIONS:
        raise InputError(f"tau_mem definition {definition!r} is not one of {', '.join(MEM_DEFINITIONS)}.")
    return MEM_DEFINITIONS[definition](curve, draws or observed(curve))


def tau_bias(curve: Curve, definition: str = "bias_crosses", draws: Draws | None = None) -> Timescale:
    """Bias time of one run from its curve of p_train (`bias_curves`), as `tau_mem` is from that of f_mem."""
    return _bias_definition(definition)(curve, draws or observed(curve))


def tau_gen(
    curve: Curve,
    definition: str = "quality_reaches",
    *,
    level: Level | float | None = None,
    memorization: Timescale | None = None,
    draws: Draws | None = None,
) -> Timescale:
    """Generalization time of one run: its quality at `level`, and there up to τ_mem (`memorization`).

    By default the level is that of the run's bookends (`level.common_level`), and τ_mem that of `tau_mem`; a curve
    without f_mem counts to its end. Raises InputError for an unknown definition or a curve
    without what it reads.
    """
    if definition not in GEN_DEFINITIONS:
        raise InputError(f"tau_gen definition {definition!r} is not one of {', '.join(GEN_DEFINITIONS)}.")
    draws = draws or observed(curve)
    memorization = memorization or (never(curve, draws.n_boot) if curve.count is None else tau_mem(curve, draws=draws))
    if not isinstance(level, Level):
        level = common_level([curve], level)
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
    bias: str = "bias_crosses",
    level: float | None = None,
    quality: str | None = None,
    loss_t: int | None = None,
) -> pd.DataFrame:
    """τ_mem, τ_gen, τ_bias and the onset of f_mem of every run with 95% intervals: the contents of `timescales.csv`.

    Where R and R2 were measured, the times `score_reaches` and `score_turns` stand beside them.

    A time that is not reached is NaN, with its status, the last step at which that is known (the first of its run,
    where it was true before) in `*_last_step`, and in `*_bound` the step that a law takes it to lie beyond (NaN
    for a tau_gen that a run with so few images never has, which is no part of the law). `level`
    is the common level of quality, by default that of `common_level`; `quality` names the measure; `mem`, `gen` and
    `bias` the definitions; τ_bias is absent where no run has p_train; `loss_t` the diffusion time of those that read
    losses, by default the smallest there is, and scores, by default the largest.
    Raises InputError where the table lacks what a definition reads.
    """
    curves = family_curves(family, quality, loss_t)
    draws = resample(family, curves, n_boot, seed)
    memorization = [tau_mem(curve, mem, drawn) for curve, drawn in zip(curves, draws, strict=True)]
    biases = _bias_times(family, curves, bias, n_boot, seed)
    common = common_level(curves, level)
    measure = quality_column(family.rows, quality)
    scored = any(curve.score_lean is not None for curve in curves)
    records = []
    for entry, curve, drawn, memorized in zip(family.runs.to_dict("records"), curves, draws, memorization, strict=True):
        generalization = tau_gen(curve, gen, level=common, memorization=memorized, draws=drawn)
        notes = [*drawn.notes, *(f"tau_mem: {note}" for note in memorized.notes)]
        notes += [f"tau_gen: {note}" for note in (*common.notes, *generalization.notes)]
        if generalization.status == "right" and (why := unreachable(curve, entry["n"], common)):
            notes.append(f"tau_gen: {why}")
            generalization = replace(generalization, bound=math.nan)
        bias_time = biases.get(curve.run)
        notes += [f"tau_bias: {note}" for note in bias_time.notes] if bias_time else []
        records.append(
            {name: entry[name] for name in ("run", "n", "width", "seed", "index")}
            | _record("tau_mem", memorized)
            | _record("tau_gen", generalization)
            | (_record("tau_bias", bias_time) if bias_time else {})
            | _record("fmem_onset", _onset(curve, drawn))
            | (_scores(curve, drawn) if scored else {})
            | {
                "quality": measure,
                "level": as_distance(measure, common.value),
                "level_set_by": common.set_by,
                "notes": "; ".join(notes),
            }
        )
    return pd.DataFrame(records)


def quality_read(times: pd.DataFrame) -> str | None:
    """The measure of quality that a table of `family_times` was read off; None where it does not say."""
    named = times["quality"].dropna() if "quality" in times else pd.Series(dtype=object)
    return str(named.iloc[0]) if len(named) else None


def _bias_times(family: Family, curves: list[Curve], definition: str, n_boot: int, seed: int) -> dict[str, Timescale]:
    """τ_bias of every run, refused for those without p_train; {} where no run has it."""
    read = _bias_definition(definition)
    found = bias_curves(family)
    known = [curve for curve in found if curve is not None]
    if not known:
        return {}
    drawn = dict(zip((curve.run for curve in known), resample(family, known, n_boot, seed), strict=True))
    return {
        curve.run: refused(definition, curve, 1 + n_boot, "p_train was not measured")
        if biased is None
        else read(biased, drawn[curve.run])
        for curve, biased in zip(curves, found, strict=True)
    }


def _bias_definition(name: str) -> Callable[[Curve, Draws], Timescale]:
    if name not in BIAS_DEFINITIONS:
        raise InputError(f"tau_bias definition {name!r} is not one of {', '.join(BIAS_DEFINITIONS)}.")
    return BIAS_DEFINITIONS[name]


def _onset(curve: Curve, draws: Draws) -> Timescale:
    """When f_mem leaves its null; refused for a curve without f_mem."""
    if curve.count is None or curve.null is None:
        return refused("fmem_onset", curve, 1 + draws.n_boot, "f_mem was not measured")
    return fmem_onset(curve, draws)


def _scores(curve: Curve, draws: Draws) -> dict[str, object]:
    """When the score comes near the population's and when it turns to the training set's, and at which t."""
    names = ("score_reaches", "score_turns")
    if curve.score_lean is None:
        near, turned = (refused(name, curve, 1 + draws.n_boot, "no score was measured") for name in names)
    else:
        near = score_reaches(curve, NO_LEVEL, never(curve, draws.n_boot), draws)
        turned = score_turns(curve, draws)
    return {"score_t": curve.score_t} | _record(names[0], near) | _record(names[1], turned)


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
