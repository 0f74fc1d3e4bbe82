"""Claims on the times of one family under averages of several widths (`diffmem evaluate RUN eval.weights=posthoc`).

A key is `TIME.WIDTH/CONTROL`: how many times as long TIME takes under an average of WIDTH (0: the raw weights) as under
one of CONTROL, over the runs that reach it under both (`laws.ratio`).
"""

import pandas as pd

from ..tables.evaluations import by_width
from ..times.family import family_times, quality_read
from .laws import ratio
from .reading import Found, Reading, Request, missing
from .surface import surface

KEYS = ["run", "n", "width", "seed", "index"]
TIMES = [f"{name}{end}" for name in ("tau_gen", "tau_bias", "tau_mem") for end in ("", "_low", "_high", "_status")]


def read(request: Request) -> Reading:
    """The reader `averages`, of one arm."""
    (place,) = request.places.values()
    families = by_width(place)
    times = {width: family_times(family) for width, family in families.items()}
    found = {key: _found(key, times) for key in request.keys}
    measure = next(filter(None, map(quality_read, times.values())), None)
    columns = ["f_mem", "p_train", *([measure] if measure else [])]
    parts = [
        family.rows[[*KEYS, "step", *columns]].merge(times[width][["run", *TIMES]], on="run").assign(ema_sigma=width)
        for width, family in families.items()
    ]
    return Reading(found, surface(pd.concat(parts, ignore_index=True), measure))


def _found(key: str, times: dict[float, pd.DataFrame]) -> Found:
    name, _, widths = key.partition(".")
    wide, control = map(float, widths.split("/"))
    runs = next(iter(times.values()))
    setting = (
        f"n = {', '.join(map(str, sorted(set(runs['n']))))}, W = {', '.join(map(str, sorted(set(runs['width']))))}"
    )
    absent = [width for width in (wide, control) if width not in times]
    if absent:
        return missing(setting, f"no rows of eval.ema_sigma={absent[0]:g}: `diffmem evaluate` makes them.")
    return ratio(times[wide], times[control], name, setting)
