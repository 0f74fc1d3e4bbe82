"""The terms of the report page in words; those of the times are the words of their definitions."""

from collections.abc import Mapping
from typing import Any

from diffmem.definitions import BIAS_WORDS, GEN_WORDS, MEM_WORDS

TERMS = {
    "f_mem": "For each generated sample, d1 and d2 are its Euclidean distances to the two nearest distinct training "
    "images. The sample counts as memorized where d1/d2 is below k (1/3 unless the settings say otherwise); f_mem is "
    "the share of such samples, with a Wilson 95% interval.",
    "null": "The same share for held-out real images instead of generated samples: what f_mem shows when nothing is "
    "memorized.",
    "quality": "How far generated images are from held-out ones, both in [0, 1] pixels after values are clamped; lower "
    "is better. mmd_pixels is the kernel distance (1000 times the unbiased squared MMD), near zero for real images and "
    "sometimes below; fd_ is the Fréchet distance in the named features, which is larger at fewer samples, and kid_ a "
    "kernel distance in them, without that bias. Of precision, recall, density and coverage, higher is better.",
    **MEM_WORDS,
    **GEN_WORDS,
    **BIAS_WORDS,
    "p_train": "The share of samples that lie closer to the training images than to as many held-out ones: near 1/2 "
    "for "
    "a model that knows nothing of which images it was given, 1 where all samples lean towards them. Its null is the "
    "same share of held-out images; of a run that went on from another network, that network's own share.",
    "window": "τ_bias / τ_gen: between the two times samples are good and do not yet lean towards the training images, "
    "so this is where to stop. Where p_train was not measured it is τ_mem / τ_gen, up to 5% copies.",
    "first copies": "The first training time at which the lower end of the 95% interval of f_mem is above the upper "
    "end "
    "of that of the null; τ_mem comes later, when one sample in twenty is a copy.",
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
ALWAYS = ("f_mem", "null", "quality", "p_train", "window", "first copies", "law", "collapse", "n*", "intervals")


def terms(laws: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The terms of the page with what they mean; those of the times are the definitions that the laws name."""
    used = {fit.get("definition"): f"{name} ({fit.get('definition')})" for name, fit in laws.items()}
    labels = {name: name for name in ALWAYS} | used
    return {labels[name]: text for name, text in TERMS.items() if name in labels}
