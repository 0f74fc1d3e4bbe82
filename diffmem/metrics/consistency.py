"""Two-model consistency: do two models trained on different images make the same image of the same noise?

    cosine = mean over noises of cos(x - c, y - c),   distance = mean over noises of |x - y|

for the outputs x and y of the two models and the mean image c of both. Models that learned the distribution agree;
models that memorize give images of their own training sets. Direction: higher cosine = less memorized, for models
whose training sets are disjoint; on a common set agreement says nothing about memorization.
Source: Kadkhodaie et al. 2024, "Generalization in diffusion models arises from geometry-adaptive harmonic
representations", section 2.

Letters: M noises, d values in one image.
"""

from typing import NamedTuple

from torch import Tensor


class Consistency(NamedTuple):
    """Mean cosine in [-1, 1] and mean Euclidean distance (units of the images) of paired outputs."""

    cosine: float
    distance: float


def consistency(x: Tensor, y: Tensor) -> Consistency:
    """Of two models' outputs [M, ...] from the same M noises. nan where an output equals the mean image."""
    a, b = x.flatten(1).double(), y.flatten(1).double()
    centre = (a.mean(0) + b.mean(0)) / 2
    u, v = a - centre, b - centre
    cosine = (u * v).sum(1) / (u.norm(dim=1) * v.norm(dim=1))
    return Consistency(float(cosine.mean()), float((a - b).norm(dim=1).mean()))


def unrelated(images: Tensor) -> Consistency:
    """The null: the consistency of held-out real images [N, ...] with one another, each with the next."""
    return consistency(images, images.roll(1, dims=0))
