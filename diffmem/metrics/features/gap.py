"""The gap ratio d1/d2 in a feature space: copies that pixels miss, or resemblance that pixels overstate.

Features of an image are, by default, its coordinates along the leading principal components of reference images, as
many as hold 90% of their variance (`pca.principal_components`). Direction: lower ratio, higher share = more memorized.
Source: the gap ratio of Yoon et al. 2023, in features as in Somepalli et al. 2023, "Diffusion art or digital
forgery?"; any `project` may be given, such as a network's.

Letters: M samples, n training images, d values in one image, D features.
"""

from torch import Tensor

from diffmem.metrics.features.pca import Projection
from diffmem.metrics.search import NearestTwo, TrainingIndex


def feature_nearest(samples: Tensor, index: TrainingIndex, project: Projection) -> NearestTwo:
    """The two distinct training images of `index` nearest to each of `samples` [M, ...] in features.

    Images that equal one another are set aside before they are projected: rounding would tell their features apart.
    """
    nearest = TrainingIndex(project(index.rows(index.distinct))).nearest_two(project(samples))
    return NearestTwo(nearest.d1, nearest.d2, index.distinct[nearest.i1], index.distinct[nearest.i2])
