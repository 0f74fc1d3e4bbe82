"""Precision and recall against brute force, and on sets whose answer is known."""

import numpy as np
import pytest
import torch

from diffmem.errors import InputError
from diffmem.metrics import precision_recall as module
from diffmem.metrics.precision_recall import precision_recall


def covered(points: np.ndarray, centres: np.ndarray) -> float:
    """Kynkaanniemi et al. 2019, Eq. 1: within the distance of some centre to its third neighbour."""
    inside = 0
    for point in points:
        for i, centre in enumerate(centres):
            others = sorted(np.linalg.norm(centre - other) for j, other in enumerate(centres) if j != i)
            if np.linalg.norm(point - centre) <= others[2]:
                inside += 1
                break
    return inside / len(points)


@pytest.mark.parametrize(("m", "n"), [(5, 6), (30, 17), (11, 40)])
def test_agrees_with_brute_force_whatever_the_tile(m: int, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(m)
    x, y = 0.7 + 0.8 * rng.normal(size=(m, 1, 1, 2)), rng.normal(size=(n, 1, 1, 2))
    monkeypatch.setattr(module, "_TILE", 5)
    expected = (covered(x.reshape(m, -1), y.reshape(n, -1)), covered(y.reshape(n, -1), x.reshape(m, -1)))
    assert min(expected) < 1
    assert precision_recall(torch.tensor(x), torch.tensor(y)) == expected


def test_copies_are_precise_and_the_mean_image_covers_nothing() -> None:
    images = torch.randn(60, 1, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert precision_recall(images, images) == (1.0, 1.0)
    few = images[:2].repeat(20, 1, 1, 1)
    precision, recall = precision_recall(few, images)
    assert precision == 1.0
    assert recall == 2 / 60
    assert precision_recall(images.mean(0, keepdim=True).expand(40, -1, -1, -1), images) == (1.0, 0.0)
    assert precision_recall(images + 100, images) == (0.0, 0.0)


def test_too_few_are_refused() -> None:
    with pytest.raises(InputError, match=r"3 samples and 9 test images .* at least 4 of each"):
        precision_recall(torch.randn(3, 2), torch.randn(9, 2))
