"""The two nearest training images where a model was trained on their mirror images too.

The distance of a sample to a training image is then the least of that to the image and that to its mirror image: a
mirrored copy is a copy. An image and its mirror are one image, so d1 and d2 are of two different ones, and of training
images that mirror one another the first alone takes part.
"""

import hashlib

import numpy as np
import torch
from torch import Tensor

from diffmem.errors import InputError
from diffmem.metrics.search import ImageArray, NearestTwo, TrainingIndex


class MirroredIndex(TrainingIndex):
    """A TrainingIndex of images [n, C, H, W] that are searched as they are and mirrored left to right."""

    def __init__(self, train: ImageArray, *, tile: int | None = None, device: torch.device | str | None = None) -> None:
        super().__init__(train, tile=tile, device=device)
        seen: set[bytes] = set()
        kept = []
        for part in self.distinct.split(self.tile):
            rows = self.rows(part).cpu() + 0.0  # -0.0 equals 0.0
            for place, row, mirrored in zip(part.tolist(), rows.numpy(), self._mirror(rows).numpy(), strict=True):
                content = hashlib.blake2b(min(row.tobytes(), mirrored.tobytes()), digest_size=16).digest()
                if content not in seen:
                    seen.add(content)
                    kept.append(place)
        if len(kept) < 2:
            raise InputError(
                f"The training set has {len(train)} images and {len(kept)} that no mirror makes alike: d1/d2 needs two."
            )
        self.distinct = torch.tensor(kept)
        self.duplicates = len(train) - len(kept)

    def nearest_two(self, samples: ImageArray) -> NearestTwo:
        """As TrainingIndex finds them, each distance the least of both views."""
        mirrored = samples.flip(-1) if isinstance(samples, Tensor) else np.asarray(samples)[..., ::-1]
        found = [super(MirroredIndex, self).nearest_two(view) for view in (samples, mirrored)]
        distance = torch.stack([d for near in found for d in (near.d1, near.d2)], dim=1)
        place = torch.stack([i for near in found for i in (near.i1, near.i2)], dim=1)
        by_place = place.argsort(dim=1)
        distance, place = distance.gather(1, by_place), place.gather(1, by_place)
        by_distance = distance.argsort(dim=1, stable=True)  # equal ones to the lowest place
        distance, place = distance.gather(1, by_distance), place.gather(1, by_distance)
        second = (place != place[:, :1]).int().argmax(1, keepdim=True)
        return NearestTwo(distance[:, 0], distance.gather(1, second)[:, 0], place[:, 0], place.gather(1, second)[:, 0])

    def views(self, points: Tensor) -> list[Tensor]:
        """Rows [S, d], and mirrored."""
        return [points, self._mirror(points)]

    def _mirror(self, rows: Tensor) -> Tensor:
        return rows.unflatten(1, self.shape).flip(-1).flatten(1)


def training_index(train: ImageArray, *, flips: bool, device: torch.device | str | None = None) -> TrainingIndex:
    """The index of `train` for a model that saw its mirror images too, or did not."""
    return (MirroredIndex if flips else TrainingIndex)(train, device=device)
