"""The level at which quality is called reached: common to a family, and below what generators that know nothing give.

A distance means nothing alone. So the rows hold its *bookends*, `<measure>@<bookend>`: what the same measure says of
trivial generators, of other real images (the floor), of the training images drawn again, and of an exact denoiser
through the same sampler. The level is half the best trivial generator's value for a kernel distance, which is zero for
real images, and half way in log from it to the floor for other measures. A level that a trivial generator comes to is
refused when it is given and never chosen.
"""

import math
from dataclasses import dataclass

import pandas as pd

from diffmem.definitions import TRIVIAL, as_distance, higher_is_better, may_be_negative
from diffmem.errors import InputError

from ..tables.bookends import bookends, variance_kept
from .curves import Curve
from .words import steps

KEPT = 0.9  # share of the variance below which calls are said to be few
SPREAD = 0.01  # relative difference of a bookend between runs that is said


@dataclass(frozen=True)
class Level:
    """`value` is NaN where there is none, and `why` says so. `set_by` is the generator it was read from."""

    value: float
    set_by: str | None = None
    why: str = ""
    notes: tuple[str, ...] = ()


def common_level(curves: list[Curve], given: float | None = None) -> Level:
    """The level of the quality of `curves`: `given`, or half way from the best trivial generator to real images.

    Where runs have different bookends, the strictest counts. `given` is in the units of the measure, the level a
    distance (`definitions.as_distance`). Raises InputError for a given level that is no distance above 0, or that a
    trivial generator comes to.
    """
    measure = next((curve.measure for curve in curves if curve.measure), None)
    ends, notes = _strictest(curves)
    trivial = {name: ends[name] for name in TRIVIAL if name in ends}
    best = min(trivial, key=lambda name: trivial[name], default=None)
    if given is not None:
        return _given(given, measure, best, trivial, notes)
    if measure is None:
        return Level(math.nan, why="no quality was measured")
    if best is None:
        return Level(
            math.nan,
            why=f"the table does not hold what trivial generators score ({measure}@gaussian and others), so no level "
            "of quality is known to mean anything: `diffmem evaluate` the runs again, or give a level",
        )
    floor = ends.get("real", math.nan)
    if may_be_negative(measure):
        value, floor = trivial[best] / 2, ends.get("real", 0.0)
    else:
        value = math.sqrt(trivial[best] * floor) if floor > 0 else math.nan
    if not floor < value < trivial[best]:
        return Level(
            math.nan,
            why=f"{measure} does not tell {best} ({as_distance(measure, trivial[best]):.3g}) from real images "
            f"({as_distance(measure, floor):.3g}): draw more samples (eval.samples), or give a level",
        )
    return Level(value, best, notes=notes)


def unreachable(curve: Curve, n: int, level: Level) -> str:
    """Why a run can never come to `level`: its n images do not, drawn again. Empty where they do or nobody knows."""
    copies = curve.bookends.get("copies", math.nan)
    if not copies > level.value:
        return ""
    scores, wanted = (as_distance(curve.measure, value) for value in (copies, level.value))
    return f"{steps(n)} images are too few: resampling them scores {scores:.3g}, and the level is {wanted:.3g}"


def sampler_note(rows: pd.DataFrame, measure: str, calls: object = None) -> str:
    """What the sampler's calls cost, where an exact denoiser keeps less than KEPT of the variance; else empty.

    `rows` are those of a run, `calls` their number where it is known.
    """
    variance, ends = variance_kept(rows), bookends(rows, measure)
    if not variance < KEPT or not {"sampler", "gaussian", "real"} <= set(ends):
        return ""
    return (
        f"{f'these {calls}' if calls else 'the'} sampler calls keep {100 * variance:.0f}% of the variance: an exact "
        f"denoiser of a Gaussian scores {measure} = {ends['sampler']:.3g} with them, and the Gaussian itself "
        f"{ends['gaussian']:.3g} (real images {ends['real']:.3g}). More calls (sampler.calls) cost time and "
        f"{'raise' if higher_is_better(measure) else 'lower'} that."
    )


def _given(
    level: float, measure: str | None, best: str | None, trivial: dict[str, float], notes: tuple[str, ...]
) -> Level:
    distance, above = as_distance(measure, level), higher_is_better(measure or "")
    if not distance > 0:
        words = "a share below 1" if above else "a distance above 0"
        raise InputError(f"level={level} is no level of quality: give {words}, or none.")
    if best is None:
        return Level(distance, notes=("nothing vouches for the level: the table has no bookends of its quality",))
    if trivial[best] <= distance:
        raise InputError(
            f"level={level:g} of {measure} is no quality: {best}, a generator that knows nothing, scores "
            f"{as_distance(measure, trivial[best]):.3g}. Give a level {'above' if above else 'below'} that, or none."
        )
    return Level(distance, notes=notes)


def _strictest(curves: list[Curve]) -> tuple[dict[str, float], tuple[str, ...]]:
    """The least value of each bookend over the runs, and what is said where they differ."""
    names = sorted({name for curve in curves for name in curve.bookends})
    values = {name: [curve.bookends[name] for curve in curves if name in curve.bookends] for name in names}
    apart = [
        name
        for name in TRIVIAL
        if name in values and max(values[name]) - min(values[name]) > SPREAD * max(values[name])
    ]
    notes = (f"the runs differ in what {', '.join(apart)} score: the least counts",) if apart else ()
    return {name: min(found) for name, found in values.items()}, notes
