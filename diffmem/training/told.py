"""The labels that a training step tells the network: those of its images, of which a keyed share is left out.

A label is left out with probability `train.label_dropout`, each by itself, so that one network learns the images with
their labels and without (Ho and Salimans 2022, Algorithm 1).

Letters: B images in a batch.
"""

import torch
from torch import Tensor

from diffmem import rng
from diffmem.config.settings import Config
from diffmem.data.labels import Labels


def told(labels: Labels, places: Tensor, config: Config, step: int) -> Tensor:
    """The labels of the training images at `places` [B] in step `step`; `labels.classes` where there is none."""
    device = places.device
    given = labels.train.to(device)[places]
    if not config.train.label_dropout:
        return given
    draws = torch.rand(len(places), generator=rng.generator(config.seed, "label dropout", step, device), device=device)
    return torch.where(draws < config.train.label_dropout, labels.classes, given)
