"""What several rooms must agree on, said once: when a sample is a copy, when a curve has risen, what quality is called.

    copy     d1/d2 < k, k = 1/3, or the k (column f_mem_threshold) at which held-out images pass at a chosen rate
    level    f_mem has risen at null + θ (1 - null), θ = 0.05
    lean     p_train has risen at null + 0.2 (1 - null)
    onset    the lower end of the interval of f_mem (of p_train) is above the upper end of the null's
    quality  the columns mmd_<space>, fd_<space>, kid_<space>, fdinf_<space> and swd_<space>, lower is better;
             precision, recall, density and coverage (in pixels, or of a <space>), higher is better. FID is fd_inception
             and nothing else. <measure>_low, _high and _bias are not measures of their own, and <measure>@<bookend> is
             what the measure says of a generator that is known

and each definition of a time in words, by its name. No torch, and nothing heavy: `diffmem --help` reads it.
"""

from typing import TYPE_CHECKING, Any

from diffmem.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

K = 1 / 3
THETA = 0.05
THETA_BIAS = 0.2
THRESHOLD = "f_mem_threshold"
KERNEL, FRECHET, INCEPTION_KERNEL, UNBIASED_FRECHET, SLICED = "mmd_", "fd_", "kid_", "fdinf_", "swd_"
# the first that was measured is read where none is chosen
QUALITY = (KERNEL, FRECHET, INCEPTION_KERNEL, UNBIASED_FRECHET, SLICED)
HIGHER = ("precision", "recall", "density", "coverage")  # shares, of which 1 is what real images have
ALIASES = {"fid": "fd_inception", "kid": "kid_inception"}  # the field's names; no other column is called so
TRIVIAL = ("mean_image", "independent", "gaussian", "average")  # bookends that nobody would train a network for
BOOKENDS = {
    "real": "other real images: the floor",
    "mean_image": "the mean image, again and again",
    "independent": "every pixel by itself, with its values in real images",
    "gaussian": "a Gaussian with the mean and covariance of real images",
    "average": "the average of two real images",
    "copies": "the n training images drawn again: what copying gives",
    "sampler": "the exact denoiser of that Gaussian with the run's sampler calls",
    "halves": "one half of the test images against the other: the null",
}

MEM_WORDS = {
    "fmem_crosses": "τ_mem is the first training time at which f_mem has risen through null + 0.05 (1 - null) and "
    "stays: no later point is surely below. It is read off a monotone fit to f_mem, between two checkpoints linearly "
    "in log τ and in the log odds of f_mem.",
    "fmem_onset": "τ_mem is the first training time at which the lower end of the 95% interval of f_mem is above the "
    "upper end of that of the null, and stays: no later point is surely below it.",
    "fmem_half": "τ_mem is the training time at which f_mem rises through half of its plateau, the mean of the last "
    "two points, and stays. A run whose last two points do not agree has no plateau yet, and its time comes after "
    "f_mem has passed half of its last value.",
    "loss_gap": "τ_mem is the first training time at which the gap between test and train loss comes to a tenth of "
    "what the test loss has fallen since step 0.",
    "overfit_onset": "The step with the least test loss, from which on the network overfits. It comes before copies.",
    "score_turns": "τ_mem is the first training time at which R2 = (E|s - s_emp| - E|s - s_pop|) / E|s_pop - s_emp| is "
    "negative and stays so, on a monotone fit: from there on the network's score s lies nearer to that of the training "
    "set, s_emp, than to that of the population, s_pop. Known for the Gaussian mixture alone.",
}
BIAS_WORDS = {
    "bias_crosses": "τ_bias is the first training time at which p_train, the share of samples that lie closer to the "
    "training images than to as many held-out ones, has risen through null + 0.2 (1 - null) and stays above. It is "
    "read off a monotone fit to p_train, linearly in log τ between two checkpoints.",
    "bias_onset": "τ_bias is the first training time at which the lower end of the 95% interval of p_train is above "
    "the upper end of that of the null, and stays there.",
}
GEN_WORDS = {
    "quality_reaches": "τ_gen is the first training time at which the quality comes to a level common to all runs of "
    "the family, and stays there until the run memorizes (to the end, if it does not). The level is half of the kernel "
    "distance of the best trivial generator; for other measures it is half way, in log, from there to real images.",
    "quality_settles": "τ_gen is the first training time at which the quality comes within 1.05 of the best of its "
    "run (a kernel distance: to the upper end of the interval of the best), and stays there until the run memorizes.",
    "quality_argmin": "τ_gen is the step with the best quality before the run memorizes.",
    "loss_reaches": "τ_gen is the first training time at which the test loss comes to its best value plus a tenth of "
    "what it has fallen since step 0.",
    "score_reaches": "τ_gen is the first training time at which R = E|s - s_pop| / E|s_pop - s_emp| comes to 1/2: the "
    "network's score s is then within half of the way from that of the population, s_pop, to that of the training set, "
    "s_emp. Known for the Gaussian mixture alone.",
}


def risen(null: Any, theta: float = THETA) -> Any:
    """The height at which f_mem has risen from `null`: null + θ (1 - null). Of a number or an array."""
    return null + theta * (1 - null)


def onset(low: Any, null_high: Any) -> Any:
    """Whether a share, whose interval begins at `low`, has surely left a null that ends at `null_high`. Elementwise."""
    return low > null_high


def derived(column: str) -> bool:
    """Whether a column belongs to the measure it is named after: an end of its interval, its error, a bookend."""
    return column.endswith(("_low", "_high", "_bias", "_se")) or "@" in column


def is_quality(column: object) -> bool:
    """Whether a column of a family's table is a measure of quality."""
    name = str(column)
    return (name.startswith(QUALITY) or higher_is_better(name)) and not derived(name)


def higher_is_better(measure: str) -> bool:
    """Whether a column is one of HIGHER, in any space."""
    return measure.partition("_")[0].partition("@")[0] in HIGHER


def as_distance(measure: str | None, value: Any) -> Any:
    """`value` of a measure as a number of which lower is better: itself, or 1 - value. Its own inverse."""
    return 1 - value if measure is not None and higher_is_better(measure) else value


def may_be_negative(quality: str) -> bool:
    """Whether a measure of quality, as a distance, may be zero or below: one without bias may, and 1 - a share."""
    return quality.startswith((KERNEL, INCEPTION_KERNEL, UNBIASED_FRECHET)) or higher_is_better(quality)


def null_rate(k: float | str) -> float | None:
    """The rate of `k` = null:RATE, at which held-out images pass; None of a number. Raises InputError for other words.

    Rates lie above 0 and below 1.
    """
    if not isinstance(k, str):
        return None
    word, _, number = k.partition(":")
    try:
        rate = float(number)
    except ValueError:
        rate = 0.0
    if word != "null" or not 0 < rate < 1:
        raise InputError(f"k={k} is neither a number nor null:RATE with a rate between 0 and 1, such as null:0.001.")
    return rate


def quality_column(rows: "pd.DataFrame", chosen: str | None = None) -> str | None:
    """The measure of quality to read from `rows`: `chosen`, or that of the first kind in QUALITY; None where none is.

    `fid` and `kid` may be chosen by these names (ALIASES). Raises InputError where the chosen one is not measured, and
    where there are several of one kind to choose from.
    """
    names = [str(one) for one in rows if is_quality(one) and rows[one].notna().any()]
    name = None if chosen is None else ALIASES.get(chosen, chosen)
    if name is not None and name not in names:
        raise InputError(
            f"quality={chosen} is no column of the table that measures quality: use one of "
            f"{', '.join(names) or '(none there)'}."
        )
    of_kind = next((found for kind in QUALITY if (found := [one for one in names if one.startswith(kind)])), [])
    if name is None and len(of_kind) > 1:
        raise InputError(f"the table has several measures of quality: choose quality={' or quality='.join(of_kind)}.")
    return name or (of_kind[0] if of_kind else None)
