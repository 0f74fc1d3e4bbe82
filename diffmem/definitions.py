"""What several rooms must agree on, said once: when a sample is a copy, when a curve has risen, what quality is called.

    copy     d1/d2 < k, k = 1/3
    level    f_mem has risen at null + θ (1 - null), θ = 0.05
    onset    the lower end of the interval of f_mem is above the upper end of the null's
    quality  the columns fd_<features>; their ends fd_<features>_low and _high are not measures of their own

and each definition of a time in words, by its name. No torch, and nothing heavy: `diffmem --help` reads it.
"""

from typing import TYPE_CHECKING, Any

from diffmem.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

K = 1 / 3
THETA = 0.05
QUALITY = "fd_"

MEM_WORDS = {
    "fmem_crosses": "τ_mem is the first training time at which f_mem has risen through null + 0.05 (1 - null) and "
    "stays above. It is read off a monotone fit to f_mem, linearly in log τ between two checkpoints.",
    "fmem_onset": "τ_mem is the first training time at which the lower end of the 95% interval of f_mem is above the "
    "upper end of that of the null.",
    "fmem_half": "τ_mem is the training time at which f_mem rises through half of its plateau, the mean of the last "
    "two points, and stays above. A run whose last two points do not agree has no plateau yet.",
    "loss_gap": "τ_mem is the first training time at which the gap between test and train loss comes to a tenth of "
    "what the test loss has fallen since step 0.",
    "overfit_onset": "The step with the least test loss, from which on the network overfits. It comes before copies.",
}
GEN_WORDS = {
    "quality_reaches": "τ_gen is the first training time at which the quality comes to a level common to all runs of "
    "the family, and stays there until the run memorizes (to the end, if it does not).",
    "quality_settles": "τ_gen is the first training time at which the quality comes within 1.05 of the best of its "
    "run, and stays there until the run memorizes.",
    "quality_argmin": "τ_gen is the step with the best quality before the run memorizes.",
    "loss_reaches": "τ_gen is the first training time at which the test loss comes to its best value plus a tenth of "
    "what it has fallen since step 0.",
}


def risen(null: Any) -> Any:
    """The height at which f_mem has risen from `null`: null + θ (1 - null). Of a number or an array."""
    return null + THETA * (1 - null)


def onset(low: Any, null_high: Any) -> Any:
    """Whether f_mem, whose interval begins at `low`, has surely left a null that ends at `null_high`. Elementwise."""
    return low > null_high


def is_quality(column: object) -> bool:
    """Whether a column of a family's table is a measure of quality."""
    name = str(column)
    return name.startswith(QUALITY) and not name.endswith(("_low", "_high"))


def quality_column(rows: "pd.DataFrame", chosen: str | None = None) -> str | None:
    """The measure of quality to read from `rows`: `chosen`, or the only one measured; None where none is.

    Raises InputError where the chosen one is no column, and where there are several to choose from.
    """
    names = [str(name) for name in rows if is_quality(name) and rows[name].notna().any()]
    if chosen is not None and chosen not in rows:
        raise InputError(
            f"quality={chosen} is no column of the table: use one of {', '.join(names) or '(none there)'}."
        )
    if chosen is None and len(names) > 1:
        raise InputError(f"the table has several measures of quality: choose quality={' or quality='.join(names)}.")
    return chosen or (names[0] if names else None)
