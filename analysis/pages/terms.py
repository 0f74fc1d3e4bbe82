"""The terms of the report page in words; those of the times are the words of their definitions."""

from collections.abc import Mapping
from typing import Any

from diffmem.definitions import GEN_WORDS, MEM_WORDS

TERMS = {
    "f_mem": "For each generated sample, d1 and d2 are its Euclidean distances to the two nearest distinct training "
    "images. The sample counts as memorized where d1/d2 is below k (1/3 unless the settings say otherwise); f_mem is "
    "the share of such samples, with a Wilson 95% interval.",
    "null": "The same share for held-out real images instead of generated samples: what f_mem shows when nothing is "
    "memorized.",
    "quality": "The Fréchet distance between generated and held-out images, both in [0, 1] pixels, in the feature "
    "space that the column names. Lower is better.",
    **MEM_WORDS,
    **GEN_WORDS,
    "window": "τ_mem / τ_gen: between the two times samples are good and not yet copies, so this is where to stop.",
    "law": "log τ = log C + α log n, and + β log W where widths vary, fitted to all runs at once. A run that did not "
    "reach a time counts by the probability that it takes longer than could have been seen; no number is put in its "
    "place.",
    "collapse": "The exponents for which f_mem against τ / (n^α W^β) is one curve as nearly as can be. Its score is "
    "the spread that is left: the standard deviation of log training time at equal f_mem, 0 for a perfect collapse.",
    "n*": "The number of training images at which τ_mem is the given step: runs with fewer memorize by then, runs with "
    "more do not. It is read between two neighbouring n, and is a bound where all runs lie on one side. A run that "
    "ended before that step without memorizing is unknown there.",
    "intervals": "All intervals are at 95%. Those of times come from drawing the samples again, those of the law from "
    "drawing whole runs again, or from Student's t where fewer than eight runs reached the time.",
}
ALWAYS = ("f_mem", "null", "quality", "window", "law", "collapse", "n*", "intervals")


def terms(laws: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The terms of the page with what they mean; those of the times are the definitions that the laws name."""
    used = {fit.get("definition"): f"{name} ({fit.get('definition')})" for name, fit in laws.items()}
    labels = {name: name for name in ALWAYS} | used
    return {labels[name]: text for name, text in TERMS.items() if name in labels}
