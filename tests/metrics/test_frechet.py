"""Frechet distance against scipy's matrix square root and closed forms; its interval against repeated draws."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from diffmem.errors import InputError
from diffmem.metrics import frechet, left_out
from diffmem.metrics.frechet import frechet_distance, frechet_jackknife, statistics


def gaussian(rng: np.random.Generator, dim: int, rank: int) -> tuple[np.ndarray, np.ndarray]:
    factor = rng.normal(size=(dim, rank)) * 10 ** rng.uniform(-2, 1)
    return rng.normal(size=dim), factor @ factor.T


@given(st.integers(0, 2**31), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_agrees_with_the_matrix_square_root(seed: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    (mu1, cov1), (mu2, cov2) = gaussian(rng, dim, dim + 3), gaussian(rng, dim, dim + 3)
    root = scipy.linalg.sqrtm(cov1 @ cov2)
    expected = np.sum((mu1 - mu2) ** 2) + np.trace(cov1) + np.trace(cov2) - 2 * np.trace(root).real
    scale = np.trace(cov1) + np.trace(cov2) + 1
    found = frechet_distance(mu1, cov1, mu2, cov2)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6 * scale)
    assert found == pytest.approx(frechet_distance(mu2, cov2, mu1, cov1), rel=1e-9, abs=1e-12 * scale)


@given(st.integers(0, 2**31), st.integers(1, 16), st.booleans())
@settings(max_examples=40, deadline=None)
def test_closed_form_of_covariances_that_commute(seed: int, dim: int, singular: bool) -> None:
    """d^2 = |mu1 - mu2|^2 + sum (s1 - s2)^2 over deviations of twelve decades, some of them zero, in any basis."""
    rng = np.random.default_rng(seed)
    s1, s2 = 10 ** rng.uniform(-12, 0, size=(2, dim))
    if singular:
        s1[rng.random(dim) < 0.5] = 0
        s2[rng.random(dim) < 0.5] = 0
    basis = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    mu = rng.normal(size=dim)
    cov1, cov2 = (basis * s1**2 @ basis.T, basis * s2**2 @ basis.T)
    symmetric = ((cov + cov.T) / 2 for cov in (cov1, cov2))
    cov1, cov2 = symmetric
    expected = np.sum(mu**2) + np.sum((s1 - s2) ** 2)
    # Rounding a covariance moves a zero deviation to about 1e-8 of the largest: nothing finer can be had.
    assert frechet_distance(mu, cov1, 0 * mu, cov2) == pytest.approx(expected, rel=1e-9, abs=1e-7)
    diagonal = frechet_distance(mu, np.diag(s1**2), 0 * mu, np.diag(s2**2))
    assert diagonal == pytest.approx(expected, rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("rank", [0, 1, 5, 8])
def test_zero_for_equal_gaussians(rank: int) -> None:
    mu, cov = gaussian(np.random.default_rng(rank), 8, rank)
    assert 0 <= frechet_distance(mu, cov, mu, cov) <= 1e-12 * (1 + np.trace(cov))


def test_statistics_are_the_mean_and_the_unbiased_covariance() -> None:
    features = 1e6 + np.random.default_rng(0).normal(size=(40, 5))
    mean, cov = statistics(features.astype(np.float32))
    stored = features.astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(mean, stored.mean(0), rtol=1e-14)
    np.testing.assert_allclose(cov, np.cov(stored.T), rtol=1e-9)
    assert mean.dtype == cov.dtype == np.float64


def test_too_few_samples_are_refused_with_both_sizes() -> None:
    features = np.random.default_rng(0).normal(size=(15, 8))
    for measure in (statistics, lambda rows: frechet_jackknife(rows, np.zeros(8), np.eye(8))):
        with pytest.raises(InputError, match=r"15 samples .* 8 features: draw at least 16"):
            measure(features)


@pytest.mark.parametrize(
    ("mu", "cov", "words"),
    [
        (np.zeros(2), np.eye(2), "shapes"),
        (np.zeros(3), np.eye(2), "shapes"),
        (np.full(3, np.nan), np.eye(3), "mean holds NaN"),
        (np.zeros(3), np.full((3, 3), np.inf), "covariance holds NaN"),
        (np.zeros(3), np.eye(3) + np.eye(3, k=1), "not symmetric"),
        (np.zeros(3), -np.eye(3), "negative eigenvalue"),
    ],
)
def test_what_is_no_gaussian_is_refused(mu: np.ndarray, cov: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        frechet_distance(np.zeros(3), np.eye(3), mu, cov)


def test_features_that_are_not_finite_are_refused() -> None:
    features = np.random.default_rng(0).normal(size=(20, 2))
    features[3, 1] = np.nan
    with pytest.raises(InputError, match="1 of 20"):
        statistics(features)


@pytest.mark.parametrize(("count", "blocks"), [(200, 20), (203, 20), (30, 30)])
def test_downdated_blocks_equal_blocks_left_out(count: int, blocks: int) -> None:
    """The fast interval is that of the definition, each block really left out."""
    from diffmem.stats.intervals import jackknife

    rng = np.random.default_rng(count)
    features, reference = 50 + rng.normal(size=(count, 6)), statistics(50 + rng.normal(size=(100, 6)))
    parts = np.array_split(np.arange(count), blocks)
    left_out = [frechet_distance(*statistics(np.delete(features, part, axis=0)), *reference) for part in parts]
    estimate = frechet_distance(*statistics(features), *reference)
    low, high = jackknife(estimate, left_out, [len(part) for part in parts])
    found = frechet_jackknife(features, *reference, blocks=blocks)
    np.testing.assert_allclose(found[:2], (max(low, 0), high), rtol=1e-6)
    assert found.low <= estimate <= found.high
    # Quenouille: blocks x estimate - (blocks - 1) x mean, for blocks of one size
    sizes = np.array([len(part) for part in parts])
    without = blocks * estimate - np.sum((1 - sizes / count) * left_out)
    assert found.bias == pytest.approx(estimate - without, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("count", "dim", "power"), [(256, 128, 1.0), (400, 128, 3.0), (300, 128, 6.0), (203, 20, 0.0)])
def test_one_eigenproblem_for_all_blocks_gives_what_one_for_each_does(count: int, dim: int, power: float) -> None:
    """Deviations of up to twelve decades, two samples a feature and ten: against singular values of what is left."""
    rng = np.random.default_rng(dim)
    rows = rng.normal(size=(count, dim)) * np.arange(1, dim + 1) ** -power
    rows -= rows.mean(0)
    parts = np.array_split(np.arange(count), 20)
    whole, without = left_out.root_traces(rows, [len(part) for part in parts])
    expected = np.linalg.svd(rows, compute_uv=False).sum()
    assert whole == pytest.approx(expected, rel=left_out.RELATIVE)
    for part, found in zip(parts, without, strict=True):
        rest = np.delete(rows, part, axis=0)
        known = np.linalg.svd(rest - rest.mean(0), compute_uv=False).sum()
        assert abs(found - known) < left_out.RELATIVE * expected


def test_what_lies_in_one_block_alone_goes_with_it() -> None:
    """A direction that only the first block has: without it nothing is left there, and no logarithm is taken of it."""
    rows = np.random.default_rng(0).normal(size=(120, 30))
    rows[:, 0] = np.where(np.arange(120) < 6, rows[:, 0], 0.0)
    rows -= rows.mean(0)
    _, without = left_out.root_traces(rows, [6] * 20)
    rest = rows[6:] - rows[6:].mean(0)
    assert without[0] == pytest.approx(np.linalg.svd(rest, compute_uv=False).sum(), rel=1e-6)
    assert left_out.root_traces(np.zeros((8, 3)), [4, 4]) == (0.0, [0.0, 0.0])


def test_many_features_have_the_distance_and_the_interval_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    features, reference = 2 + rng.normal(size=(300, 60)), statistics(rng.normal(size=(200, 60)) * 1.2)
    known, interval = frechet.with_jackknife(features, *reference)
    assert known == frechet_distance(*statistics(features), *reference)
    assert interval == frechet_jackknife(features, *reference)
    monkeypatch.setattr(frechet, "MANY", 1)
    found, (low, high, bias) = frechet.with_jackknife(features, *reference)
    assert found == pytest.approx(known, rel=1e-6)
    assert (low, high) == pytest.approx((interval.low, interval.high), rel=1e-5)
    assert bias == pytest.approx(interval.bias, rel=1e-3)


def test_interval_covers() -> None:
    """95% intervals of 300 draws of 400 samples hold the distance that 400 samples have on average."""
    rng = np.random.default_rng(5)
    reference = (np.zeros(4), np.eye(4))
    draws = [0.5 + 1.5 * rng.normal(size=(400, 4)) for _ in range(300)]
    expected = np.mean([frechet_distance(*statistics(draw), *reference) for draw in draws])
    intervals = np.array([frechet_jackknife(draw, *reference) for draw in draws])
    covered = np.mean((intervals[:, 0] <= expected) & (expected <= intervals[:, 1]))
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / len(draws))


def test_interval_is_cut_at_zero() -> None:
    features = np.random.default_rng(6).normal(size=(40, 1))
    mean, cov = statistics(features)
    assert frechet_jackknife(features, mean, cov)[0] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize(("count", "spread"), [(200, 1.0), (200, 0.85), (400, 0.85)])
def test_the_bias_is_that_of_planted_gaussians(count: int, spread: float) -> None:
    """64 features with the spectrum of digits: the mean estimate less the known distance, within a tenth."""
    rng = np.random.default_rng(count)
    deviation = 0.8 * np.arange(1, 65) ** -0.8
    reference = (np.zeros(64), np.diag(deviation**2))
    known = np.sum((deviation - spread * deviation) ** 2)
    draws = [spread * deviation * rng.normal(size=(count, 64)) for _ in range(40)]
    estimates = np.array([frechet_distance(*statistics(draw), *reference) for draw in draws])
    biases = np.array([frechet_jackknife(draw, *reference).bias for draw in draws])
    planted = estimates.mean() - known
    assert planted > 10 * estimates.std() / np.sqrt(len(draws))  # the bias is seen, and no accident
    assert biases.mean() == pytest.approx(planted, rel=0.1)
