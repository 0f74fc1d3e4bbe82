"""The k nearest training images of each sample: for measures that look past the second.

Candidates come from centred float32 products and their distances are taken again in float64. So a distance is exact
to float64, and an image is missed only for one that float32 cannot tell from it; `search.nearest_two` is
the search to decide d1/d2 by, which proves more.

Letters: M samples, n training images, d values in one image.
"""

import torch
from torch import Tensor

from diffmem.metrics.search import ImageArray, take

_MARGIN = 8  # candidates beyond k, among which the products may have the order wrong
_SAMPLES, _IMAGES = 512, 2048  # rows of a tile


@torch.no_grad()
def nearest_k(
    samples: Tensor, train: ImageArray, k: int, *, places: Tensor | None = None, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Distances float64 [M, k] and places int64 [M, k], ascending, of the k images nearest to `samples` [M, ...].

    `train` [n, ...] is a tensor or an array; of it only `places` (int64, ascending; by default all) take part. k is cut
    to their number; equal distances go to the lowest place. Products run on `device`, memory is bounded by a tile.
    """
    places = torch.arange(len(train)) if places is None else places
    k = min(k, len(places))
    centre = take(train, places[:_IMAGES]).double().mean(0).cpu()
    distances, nearest = [], []
    for points in samples.detach().flatten(1).split(_SAMPLES):
        points = points.cpu().double()
        candidates = _candidates((points - centre).float().to(device), train, places, centre, k + _MARGIN)
        for point, row in zip(points, candidates.cpu(), strict=True):
            exact = torch.linalg.vector_norm(take(train, row).cpu().double() - point, dim=1)
            distance, order = exact.sort(stable=True)
            distances.append(distance[:k])
            nearest.append(row[order[:k]])
    return torch.stack(distances), torch.stack(nearest)


def _candidates(x: Tensor, train: ImageArray, places: Tensor, centre: Tensor, count: int) -> Tensor:
    """Places [S, up to `count`], ascending, of the images with the least |b|^2 - 2 x.b, both centred."""
    least = torch.empty(len(x), 0, device=x.device)
    place = torch.empty(len(x), 0, dtype=torch.int64, device=x.device)
    for part in places.split(_IMAGES):
        b = (take(train, part).cpu().double() - centre).float().to(x.device)
        least = torch.cat([least, b.square().sum(1) - 2 * x @ b.T], dim=1)
        place = torch.cat([place, part.to(x.device).expand(len(x), -1)], dim=1)
        kept = least.topk(min(count, least.shape[1]), dim=1, largest=False).indices
        least, place = least.gather(1, kept), place.gather(1, kept)
    return place.sort(dim=1).values
