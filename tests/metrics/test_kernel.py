"""Kernel distance against loops, against Gaussians in closed form, without bias, and with intervals that cover."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from diffmem.errors import InputError
from diffmem.metrics import kernel
from diffmem.metrics.kernel import KernelDistance


def k(x: np.ndarray, y: np.ndarray, bandwidth: float) -> float:
    return math.exp(-float(((x - y) ** 2).sum()) / (2 * bandwidth**2))


def looped(x: np.ndarray, y: np.ndarray, h: float) -> float:
    """Gretton et al. 2012, Lemma 6, as it is written."""
    m, n = len(x), len(y)
    own = sum(k(x[i], x[j], h) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    others = sum(k(y[i], y[j], h) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return 1000 * (own + others - 2 * sum(k(a, b, h) for a in x for b in y) / (m * n))


def smoothed(mean: np.ndarray, variance: np.ndarray, h: float) -> np.ndarray:
    """E k(x, 0) for x ~ N(mean [..., d], diag(variance)): h^d / sqrt(prod(h^2 + v)) exp(-sum m^2 / 2 (h^2 + v))."""
    wide = h**2 + variance
    return np.prod(h / np.sqrt(wide)) * np.exp(-0.5 * (mean**2 / wide).sum(-1))


@pytest.mark.parametrize(("m", "n"), [(3, 2), (12, 7), (5, 30)])
def test_agrees_with_a_loop_whatever_the_tile(m: int, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(m)
    x, y = rng.normal(size=(m, 1, 2, 2)), 0.5 + rng.normal(size=(n, 1, 2, 2))
    monkeypatch.setattr(kernel, "_TILE", 4)
    distance = KernelDistance.to(torch.tensor(y))
    apart = np.sort(pdist(y.reshape(n, -1)))
    median = apart[(len(apart) - 1) // 2]  # the lower one of two
    assert distance.bandwidth == pytest.approx(median / 2, rel=1e-12)
    found, low, high = distance(torch.tensor(x))
    assert found == pytest.approx(looped(x.reshape(m, -1), y.reshape(n, -1), distance.bandwidth), rel=1e-10)
    without = [looped(np.delete(x, i, 0).reshape(m - 1, -1), y.reshape(n, -1), distance.bandwidth) for i in range(m)]
    if m > 3:
        error = math.sqrt((m - 1) / m * np.sum((np.array(without) - np.mean(without)) ** 2))
        assert (high - found, found - low) == pytest.approx((1.959964 * error, 1.959964 * error), rel=1e-6)


def test_has_the_mean_of_the_closed_form_at_any_number_of_samples() -> None:
    """Two Gaussians: the squared MMD is known, and no number of samples or images moves the average."""
    d, h, shift = 6, 1.7, 0.4
    one = np.ones(d)
    known = 1000 * float(
        smoothed(0 * one, 2 * one, h)
        + smoothed(0 * one, 2 * 0.8**2 * one, h)
        - 2 * smoothed(shift * one, 1.64 * one, h)
    )
    rng = np.random.default_rng(1)
    for m, n in ((10, 20), (40, 10), (80, 80)):
        found = []
        for _ in range(400):
            x, y = rng.normal(size=(m, d)), shift + 0.8 * rng.normal(size=(n, d))
            rows = torch.tensor(y)
            own = float(kernel._row_sums(rows, rows, h).sum() - n) / (n * (n - 1))
            found.append(KernelDistance(rows, h, own)(torch.tensor(x))[0])
        assert abs(np.mean(found) - known) < 4 * np.std(found) / math.sqrt(len(found))


@pytest.mark.parametrize(("m", "shift", "spread"), [(200, 0.3, 0.8), (200, 0.0, 1.0), (50, 0.1, 1.0)])
def test_intervals_cover_the_distance_to_the_images_at_hand(m: int, shift: float, spread: float) -> None:
    """Samples of a Gaussian against fixed images: the expectation over samples is known in closed form."""
    d = 6
    rng = np.random.default_rng(2)
    y = rng.normal(size=(100, d))
    distance = KernelDistance.to(torch.tensor(y))
    h, variance = distance.bandwidth, spread**2 * np.ones(d)
    own = smoothed(np.zeros(d), 2 * variance, h)
    known = 1000 * float(own + distance.self_mean - 2 * smoothed(y - shift, variance, h).mean())
    draws = [distance(torch.tensor(shift + spread * rng.normal(size=(m, d)))) for _ in range(400)]
    covered = np.mean([low <= known <= high for _, low, high in draws])
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 400)


def test_bad_input_is_refused() -> None:
    images = torch.randn(5, 1, 2, 2)
    with pytest.raises(InputError, match="2 images give no kernel distance"):
        KernelDistance.to(images)(images[:2])
    with pytest.raises(InputError, match="NaN or infinite"):
        KernelDistance.to(images)(images / 0)
    with pytest.raises(InputError, match="Most of the 5 test images are equal"):
        KernelDistance.to(images[:1].expand(5, -1, -1, -1))
