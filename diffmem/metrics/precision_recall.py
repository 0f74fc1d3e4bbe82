"""Precision and recall: how many samples look real, and how much of what is real is among the samples.

The region of a set is the union of balls, one about each of its images, that reach to its third neighbour in the set.

    precision   share of samples inside the region of the test images
    recall      share of test images inside the region of the samples

The region of the test images is that of all of them, whatever the number of samples, so precision does not move with
M; recall does: more samples cover more. (The source takes equally many of both.) Copies of few images have a high
precision and a low recall; the mean image has precision 1 and recall 0.

Letters: M samples, N test images, d values in one image.
Source: Kynkaanniemi et al. 2019, "Improved precision and recall metric for assessing generative models", Eq. 1 and 2.
"""

import torch
from torch import Tensor

from diffmem.errors import InputError
from diffmem.metrics.pairwise import squared_distances

NEIGHBOURS = 3
_TILE = 1024


def precision_recall(samples: Tensor, images: Tensor) -> tuple[float, float]:
    """(precision, recall) of `samples` [M, ...] against test `images` [N, ...], each in [0, 1].

    Raises InputError where there are NEIGHBOURS or fewer of one of them.
    """
    if min(len(samples), len(images)) <= NEIGHBOURS:
        raise InputError(
            f"{len(samples)} samples and {len(images)} test images give no precision and recall with "
            f"{NEIGHBOURS} neighbours: at least {NEIGHBOURS + 1} of each are needed."
        )
    drawn, real = (rows.detach().flatten(1).cpu().double() for rows in (samples, images))
    centre = real.mean(0)
    drawn, real = drawn - centre, real - centre
    return _inside(drawn, real), _inside(real, drawn)


def _inside(points: Tensor, centres: Tensor) -> float:
    """The share of `points` [A, d] within the region of `centres` [B, d]."""
    radii = torch.cat(
        [
            # the nearest of all is the image itself
            squared_distances(part, centres).kthvalue(NEIGHBOURS + 1, dim=1).values
            for part in centres.split(_TILE)
        ]
    )
    inside = [(squared_distances(part, centres) <= radii).any(dim=1) for part in points.split(_TILE)]
    return float(torch.cat(inside).double().mean())
