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


class FeatureIndex:
    """The training images of `index` made ready for searches in the features that `project` gives.

    `known` projects the training images; by default `project` does. Images that equal one another are set aside before
    they are projected: rounding would tell their features apart.
    """

    def __init__(self, index: TrainingIndex, project: Projection, known: Projection | None = None) -> None:
        self.project = project
        self._distinct = index.distinct
        images = index.rows(index.distinct).view(-1, *index.shape)
        self._index = TrainingIndex((known or project)(images))

    def nearest_two(self, samples: Tensor) -> NearestTwo:
        """The two distinct training images nearest to each of `samples` [M, ...] in features."""
        nearest = self._index.nearest_two(self.project(samples))
        return NearestTwo(nearest.d1, nearest.d2, self._distinct[nearest.i1], self._distinct[nearest.i2])
