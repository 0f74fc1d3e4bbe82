"""The bookends of a family's quality: what each measure says of generators that are known, `<measure>@<bookend>`.

They are constants of a run. All but `copies` (and rounding in `sampler`) are the same for all runs of a family.
"""

import pandas as pd

from diffmem.definitions import BOOKENDS


def bookends(rows: pd.DataFrame, measure: str | None) -> dict[str, float]:
    """The bookends of `measure` in the rows of one run, by name; those that the rows lack are absent."""
    found = {name: rows[f"{measure}@{name}"].dropna() for name in BOOKENDS if f"{measure}@{name}" in rows}
    return {name: float(values.iloc[0]) for name, values in found.items() if len(values)}


def variance_kept(rows: pd.DataFrame) -> float:
    """The share of the variance that the exact denoiser of a Gaussian keeps with the sampler's calls, or NaN."""
    return bookends(rows, "variance").get("sampler", float("nan"))
