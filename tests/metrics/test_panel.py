"""Measures of the panel against brute force written from their papers, and on cases whose answer is known."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu
from torch import Tensor

from diffmem.config.diffusion import LinearDiffusion
from diffmem.data import mixture
from diffmem.diffusion.empirical import EmpiricalDenoiser
from diffmem.diffusion.process import Process
from diffmem.metrics import panel
from diffmem.metrics.authenticity import auth_pct, authentic
from diffmem.metrics.calibrated_l2 import calibrated_l2
from diffmem.metrics.consistency import consistency, unrelated
from diffmem.metrics.data_copying import data_copying
from diffmem.metrics.features.gap import FeatureIndex
from diffmem.metrics.features.pca import principal_components
from diffmem.metrics.memorization import leave_one_out
from diffmem.metrics.nearest_k import nearest_k
from diffmem.metrics.psnr import psnr
from diffmem.metrics.search import TrainingIndex

PROCESS = Process.from_config(LinearDiffusion(T=1000, beta_first=1e-4, beta_last=2e-2))


def images(count: int, seed: int, size: int = 5) -> Tensor:
    return torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(seed))


def flat(x: Tensor) -> np.ndarray:
    return x.flatten(1).double().numpy()


def with_copies(train: Tensor, count: int, seed: int) -> Tensor:
    """Fresh points, of which a third are training images moved by 1e-4."""
    x = images(count, seed)
    copies = min(count // 3, len(train))
    x[:copies] = train[:copies] + 1e-4 * x[:copies]
    return x


@given(st.integers(0, 2**31), st.integers(3, 60), st.integers(1, 9))
@settings(max_examples=30)
def test_nearest_k_is_brute_force(seed: int, n: int, k: int) -> None:
    train = images(n, seed)
    samples = with_copies(train, 12, seed + 1)
    distance, place = nearest_k(samples, train, k)
    truth = cdist(flat(samples), flat(train))
    order = truth.argsort(axis=1, kind="stable")[:, :k]
    assert np.array_equal(place.numpy(), order)
    np.testing.assert_allclose(distance.numpy(), np.take_along_axis(truth, order, 1), rtol=1e-12)


def test_auth_pct_by_brute_force() -> None:
    train = images(40, 0)
    samples = with_copies(train, 30, 1)
    index = TrainingIndex(train)
    nearest = index.nearest_two(samples)
    to_train, among = cdist(flat(samples), flat(train)), cdist(flat(train), flat(train))
    np.fill_diagonal(among, math.inf)
    expected = to_train.min(1) > among[to_train.argmin(1)].min(1)  # Alaa et al. 2022, section 3.2
    assert np.array_equal(authentic(nearest, index).numpy(), expected)
    assert auth_pct(nearest, index) == pytest.approx(100 * expected.mean())
    assert 0 < expected.mean() < 1


def test_auth_pct_of_copies_is_zero() -> None:
    index = TrainingIndex(images(40, 0))
    assert auth_pct(index.nearest_two(images(40, 0)), index) == 0


@pytest.mark.parametrize("n", [20, 120])
def test_calibrated_l2_by_brute_force(n: int) -> None:
    train = images(n, 0)
    samples = with_copies(train, 30, 1)
    distances = np.sort(cdist(flat(samples), flat(train)), axis=1)[:, :50]
    expected = distances[:, 0] / distances.mean(1)  # Carlini et al. 2023, section 5.1
    np.testing.assert_allclose(calibrated_l2(samples, TrainingIndex(train)).numpy(), expected, rtol=1e-9)


CELLS_OF_TWO = [(slice(0, 40), slice(0, 30)), (slice(40, None), slice(30, 60))]  # samples, held-out images


def c_t(q: np.ndarray, p: np.ndarray, t: np.ndarray) -> float:
    """Z_U in one cell through scipy's U and the normal approximation without ties (Meehan et al. 2020)."""
    u = mannwhitneyu(cdist(q, t).min(1), cdist(p, t).min(1)).statistic
    m, n = len(q), len(p)
    return float((u - m * n / 2) / math.sqrt(m * n * (m + n + 1) / 12))


def test_c_t_in_one_cell() -> None:
    samples, heldout, train = images(60, 0), images(50, 1), images(80, 2)
    expected = c_t(flat(samples), flat(heldout), flat(train))
    assert data_copying(samples, heldout, train, cells=1) == pytest.approx(expected, rel=1e-9)


def test_c_t_is_the_weighted_mean_over_cells() -> None:
    """Three clusters far apart, one of which the samples hardly visit: it does not count."""
    shifts = [0.0, 100.0, 200.0]
    train, heldout = (torch.cat([images(30, 10 * s + i) + shift for i, shift in enumerate(shifts)]) for s in (0, 1))
    heldout = heldout[:70]  # 30, 30, 10
    samples = torch.cat([images(40, 31), images(40, 32) + 100, images(3, 33) + 200])

    def cell(x: Tensor, shift: float) -> np.ndarray:
        return flat(x[(x.mean(dim=(1, 2, 3)) - shift).abs() < 50])

    z = [c_t(cell(samples, s), cell(heldout, s), cell(train, s)) for s in shifts[:2]]
    found = [data_copying(samples, heldout, train, seed=seed) for seed in range(12)]
    assert min(abs(value - (30 * z[0] + 30 * z[1]) / 60) for value in found) < 1e-9


@pytest.mark.parametrize(("count", "counts"), [(19, False), (20, True), (21, True)])
def test_c_t_counts_a_cell_from_twenty_samples_on(count: int, counts: bool) -> None:
    train, heldout = (torch.cat([images(30, 2 * s), images(30, 2 * s + 1) + 100]) for s in (0, 1))
    samples = torch.cat([images(40, 31), images(count, 32) + 100])
    z = [c_t(flat(samples[q]), flat(heldout[p]), flat(train[p])) for q, p in CELLS_OF_TWO]
    found = [data_copying(samples, heldout, train, cells=2, seed=seed) for seed in range(6)]
    expected = float(np.mean(z)) if counts else z[0]
    assert min(abs(value - expected) for value in found) < 1e-9


def test_c_t_sees_copies_and_knows_fresh_samples() -> None:
    train, heldout = images(200, 0), images(200, 1)
    assert data_copying(train + 0.01, heldout, train) < -8
    assert abs(data_copying(images(200, 2), heldout, train)) < 4  # a standard normal under the null


def test_consistency_of_the_same_and_of_unrelated_images() -> None:
    x = images(300, 0)
    assert consistency(x, x) == pytest.approx((1.0, 0.0))
    assert abs(unrelated(x).cosine) < 4 / math.sqrt(300 * 25)
    y = (x + images(300, 2)) / 2
    assert consistency(x + 5, y + 5) == pytest.approx(consistency(x, y))  # about the mean image
    found = consistency(x, images(300, 1))
    assert found.distance == pytest.approx(math.sqrt(2 * 25), rel=0.05)


def test_psnr_of_a_known_error() -> None:
    """A denoiser that always says epsilon + 0.1 errs by sigma / signal x 0.1 in x_0."""
    train, t = images(16, 0), 300
    draws: dict[str, Tensor] = {}

    def wrong(x: Tensor, times: Tensor) -> Tensor:
        signal, sigma = PROCESS.coefficients(times, x)
        return (x - signal * draws["x0"]) / sigma + 0.1

    draws["x0"] = train.repeat(64, 1, 1, 1)  # 1,024 draws: every image 64 times, in order
    alpha_bar = float(PROCESS.alpha_bar[t])
    expected = -20 * math.log10(0.1 * math.sqrt((1 - alpha_bar) / alpha_bar) / 4.0)
    assert psnr(wrong, PROCESS, train, t, scale=4.0, tile=2000) == pytest.approx(expected, abs=1e-3)


def test_the_denoisers_measures_at_the_exact_bookends() -> None:
    """The exact denoiser of the training set is at distance 0 from itself; the population's has no PSNR gap."""
    train, heldout = (
        torch.from_numpy(mixture.draw(2048 + 64, 8, 1.0, 1.0))[part] for part in (slice(64), slice(64, None))
    )

    def population(x: Tensor, t: Tensor) -> Tensor:
        alpha_bar = PROCESS.alpha_bar[t]
        return -mixture.score(x, alpha_bar, 1.0, 1.0) * (1 - alpha_bar)[:, None].sqrt()

    exact = panel.of_denoiser(EmpiricalDenoiser(train, PROCESS), PROCESS, train, heldout, scale=1.0)
    fresh = panel.of_denoiser(population, PROCESS, train, heldout, scale=1.0)
    assert all(row["score_distance"] < 1e-6 < 0.02 < row["score_distance_null"] for row in exact)
    assert exact[0]["psnr_gap"] > 20
    assert abs(np.mean([row["psnr_gap"] for row in fresh])) < 1.0
    assert all(a["score_distance"] < b["score_distance"] for a, b in zip(exact, fresh, strict=True))
    assert [row["sigma"] for row in exact] == pytest.approx(panel.SIGMAS, rel=0.02)


def test_features_hold_the_variance_and_find_copies() -> None:
    scale = torch.linspace(3, 0.1, 25).view(1, 5, 5)
    train, fresh = images(100, 0) * scale, images(50, 1) * scale
    project = principal_components(train)
    features, whole = project(train), flat(train)
    share = float(features.var(0).sum()) / whole.var(0, ddof=1).sum()
    assert 0.9 <= share < 0.95
    index = TrainingIndex(train)
    found = FeatureIndex(index, project).nearest_two(train[:20] + 0.001)
    assert found.i1.tolist() == list(range(20))
    assert float((found.d1 / found.d2).max()) < 0.1
    # distances in a rotation onto fewer axes are never larger than in pixels
    assert bool((FeatureIndex(index, project).nearest_two(fresh).d1 <= index.nearest_two(fresh).d1 + 1e-6).all())


@pytest.mark.parametrize(("shift", "scale"), [(3.0, 1.0), (0.0, 7.0), (-0.5, 0.125)])
def test_a_shift_or_scale_of_pixels_changes_no_measure_of_samples(shift: float, scale: float) -> None:
    train, heldout = images(80, 0), images(70, 1)
    samples = with_copies(train, 60, 2)

    def measured(move: float, times: float) -> dict[str, float]:
        x, held, a = ((some.double() + move) * times for some in (samples, heldout, train))
        index = TrainingIndex(a)
        return panel.of_samples(
            x, index.nearest_two(x), index, held, FeatureIndex(index, principal_components(held)), 1 / 3
        )

    assert measured(shift, scale) == pytest.approx(measured(0.0, 1.0), rel=1e-6)


def test_memory_mapped_images_give_the_same(tmp_path: Path) -> None:
    train, heldout = images(80, 0), images(70, 1)
    np.save(tmp_path / "train.npy", train.numpy())
    mapped = TrainingIndex(np.load(tmp_path / "train.npy", mmap_mode="r"))
    index, project = TrainingIndex(train), principal_components(heldout)
    first, second = (
        panel.of_samples(heldout, one.nearest_two(heldout), one, heldout, FeatureIndex(one, project), 1 / 3)
        for one in (mapped, index)
    )
    assert first == second
    assert torch.equal(leave_one_out(mapped).d1, leave_one_out(index).d1)


def test_duplicates_change_no_measure_of_samples() -> None:
    train, heldout = images(80, 0), images(70, 1)
    samples = with_copies(train, 60, 2)

    def measured(a: Tensor) -> dict[str, float]:
        index = TrainingIndex(a)
        return panel.of_samples(
            samples,
            index.nearest_two(samples),
            index,
            heldout,
            FeatureIndex(index, principal_components(heldout)),
            1 / 3,
        )

    assert measured(torch.cat([train, train[:40], train[:3]])) == pytest.approx(measured(train), rel=1e-12)


def test_every_measure_points_the_way_it_says() -> None:
    """From fresh samples to copies each measure of samples moves in its own direction."""
    train, heldout = images(150, 0), images(150, 1)
    index, project = TrainingIndex(train), principal_components(heldout)

    def measured(samples: Tensor) -> dict[str, float]:
        return panel.of_samples(
            samples, index.nearest_two(samples), index, heldout, FeatureIndex(index, project), 1 / 3
        )

    fresh, copies = measured(images(150, 2)), measured(train + 0.05 * images(150, 3))
    for name, value in fresh.items():
        assert panel.MEASURES[name].direction * (copies[name] - value) > 0, name
