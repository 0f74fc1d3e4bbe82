"""How τ_mem depends on the threshold k below which d1/d2 makes a sample a copy.

    level    the share of samples below k rises through null_k + θ (1 - null_k)
    null_k   the largest share below k at the checkpoints where no sample is a copy at k = 1/3

A key is `K.NUMBER`, K one of the thresholds that rows hold (`0.5`): `alpha` is the exponent of n of τ_mem read at K,
`difference` the slope of log τ_mem(K) - log τ_mem(1/3) over log n, which is 0 where the exponent does not depend on K,
and `ratio` the mean of τ_mem(K) / τ_mem(1/3) over the runs, in log.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import linregress
from scipy.stats import t as student

from diffmem.definitions import K
from diffmem.errors import InputError

from ..figures import drawing
from ..figures.drawing import MARKERS, STEP, SYMBOLS, styled
from ..figures.files import Picture
from ..laws.family import laws
from ..tables.family import Family
from ..times.family import family_times
from .joined import joined
from .laws import of_law, ratio, setting_words
from .reading import Found, Reading, Request, missing

NAMES = ["run", "n", "width", "seed", "index"]
TIME = ["tau_mem", "tau_mem_low", "tau_mem_high", "tau_mem_status"]


def read(request: Request) -> Reading:
    """The reader `thresholds`."""
    family = joined(request.places)
    ks = sorted(float(name.removeprefix("f_mem_k")) for name in map(str, family.rows) if name.startswith("f_mem_k"))
    if not ks:
        raise InputError("the rows hold no f_mem_k<k>: give runs, or a csv with those columns of metrics.csv.")
    times = {k: family_times(_read_at(family, k)) for k in ks}
    third = min(ks, key=lambda k: abs(k - K))
    found = {}
    for key in request.keys:
        k, number = key.rsplit(".", 1)
        found[key] = _found(
            times[min(ks, key=lambda one: abs(one - float(k)))], times[third], number, setting_words(family)
        )
    table = pd.concat([one[[*NAMES, *TIME]].assign(k=k) for k, one in times.items()], ignore_index=True)
    return Reading(found, Picture(_draw(table), table))


def _read_at(family: Family, k: float) -> Family:
    """The family as if a sample were a copy below `k`, without its stored samples."""
    rows = family.rows.copy()
    share = rows[f"f_mem_k{k:.4f}"]
    none = share.where(rows["f_mem_count"] == 0).groupby(rows["run"]).transform("max").fillna(0.0)
    rows = rows.assign(f_mem=share, f_mem_count=(share * rows["f_mem_total"]).round(), f_mem_null=none)
    rows = rows.drop(columns=["f_mem_null_count", "f_mem_null_total"], errors="ignore")
    return Family(family.runs.assign(path=None), rows, family.warnings)


def _found(times: pd.DataFrame, third: pd.DataFrame, number: str, setting: str) -> Found:
    if number == "alpha":
        return of_law(laws(times)["tau_mem"], "alpha", setting)
    if number == "ratio":
        return ratio(times, third, "tau_mem", setting)
    both = times.merge(third, on=NAMES, suffixes=("", "_third"))
    both = both[(both["tau_mem_status"] == "reached") & (both["tau_mem_status_third"] == "reached")]
    if both["n"].nunique() < 2 or len(both) < 3:
        return missing(setting, f"{len(both)} runs reached both times, and a slope needs three, of two n.")
    line = linregress(np.log(both["n"]), np.log(both["tau_mem"] / both["tau_mem_third"]))
    half = float(student.ppf(0.975, len(both) - 2)) * line.stderr
    return Found(line.slope, line.slope - half, line.slope + half, setting)


@styled
def _draw(table: pd.DataFrame) -> Figure:
    """τ_mem against n, a colour for each k."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    ks = drawing.levels(table["k"])
    colours = drawing.colours(table["k"])
    for place, k in enumerate(ks):
        at = table[(table["k"] == k) & (table["tau_mem_status"] == "reached")]
        mean = np.exp(np.log(at["tau_mem"]).groupby(at["n"]).mean())
        axes.plot(
            at["n"] * 1.015**place,
            at["tau_mem"],
            MARKERS[place],
            color=colours[k],
            markersize=5,
            label=f"$k$ = {k:.2g}",
        )
        axes.plot(mean.index * 1.015**place, mean, color=colours[k], linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="training images $n$", ylabel=f"{SYMBOLS['tau_mem']}: {STEP}")
    drawing.n_axis(axes.xaxis, drawing.levels(table["n"]))
    drawing.log_ticks(axes.yaxis, *axes.get_ylim())
    axes.legend()
    return figure
