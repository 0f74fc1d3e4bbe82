"""Standard measures against loops and closed forms, their bias, their intervals, and what they refuse."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from diffmem.errors import InputError
from diffmem.metrics import density_coverage as dc
from diffmem.metrics import kid, sliced
from diffmem.metrics.density_coverage import density_coverage, expected_coverage
from diffmem.metrics.fd_infinity import fd_infinity
from diffmem.metrics.features.extractors import extractor
from diffmem.metrics.frechet import frechet_distance, statistics
from diffmem.metrics.kid import PolynomialDistance
from diffmem.metrics.quality import Quality, halves
from diffmem.metrics.sliced import sliced_wasserstein
from diffmem.metrics.standard import MEASURES, wanted


def gaussian(count: int, d: int, seed: int | list[int], shift: float = 0.0, spread: float = 1.0) -> np.ndarray:
    return shift + spread * np.random.default_rng(seed).normal(size=(count, d))


def looped_kid(x: np.ndarray, y: np.ndarray) -> float:
    """Binkowski et al. 2018, Eq. 4, with the kernel of its section 4."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (float(a @ b) / len(a) + 1) ** 3

    m, n = len(x), len(y)
    own = sum(k(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    others = sum(k(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return own + others - 2 * sum(k(a, b) for a in x for b in y) / (m * n)


@pytest.mark.parametrize(("m", "n"), [(4, 3), (12, 7), (5, 30)])
def test_kid_agrees_with_a_loop_whatever_the_tile(m: int, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = gaussian(m, 4, m, 0.3), gaussian(n, 4, n + 100)
    monkeypatch.setattr(kid, "_TILE", 4)
    found, low, high = PolynomialDistance.to(y)(x)
    assert found == pytest.approx(looped_kid(x, y), rel=1e-10)
    without = [looped_kid(np.delete(x, i, 0), y) for i in range(m)]
    error = math.sqrt((m - 1) / m * np.sum((np.array(without) - np.mean(without)) ** 2))
    assert (high - found, found - low) == pytest.approx((1.959964 * error, 1.959964 * error), rel=1e-6)


def test_kid_has_no_bias_in_the_number_of_samples() -> None:
    """For features of one law its mean is zero; the cubic kernel is a polynomial, so any two laws have a closed form:
    with D = 1, E k = 1 + 3 m m' + 3 s s' + t t', m, s, t the first three moments."""
    for m, n in ((5, 9), (20, 6), (60, 60)):
        found = [PolynomialDistance.to(gaussian(n, 1, [n, i], 0.4))(gaussian(m, 1, [m, i, 7]))[0] for i in range(600)]
        moments = [np.array([1, a, 1 + a**2, a**3 + 3 * a]) for a in (0.0, 0.4)]
        apart = (moments[0] - moments[1]) ** 2 @ np.array([1, 3, 3, 1])
        assert abs(np.mean(found) - apart) < 4 * np.std(found) / math.sqrt(len(found))


def test_fd_infinity_takes_the_bias_off_and_covers() -> None:
    """Samples of a known Gaussian against a known one: FD_M lies above, FD-infinity about it, its interval holds it."""
    d, count = 8, 160
    mean, cov = np.full(d, 0.5), np.diag(np.linspace(0.5, 2, d))
    truth = frechet_distance(np.zeros(d), np.eye(d), mean, cov)
    plain, found = [], []
    for seed in range(300):
        x = gaussian(count, d, seed)
        plain.append(frechet_distance(*statistics(x), mean, cov))
        found.append(fd_infinity(x, mean, cov))
    values = np.array([one.value for one in found])
    error = np.std(values) / math.sqrt(len(values))
    assert np.mean(plain) - truth > 8 * error
    assert abs(values.mean() - truth) < 0.15 * (np.mean(plain) - truth) + 4 * error
    assert np.std(values) < 1.1 * np.std(plain)
    covered = np.mean([one.low <= truth <= one.high for one in found])
    assert covered >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / len(found))
    width = np.mean([one.high - one.low for one in found])
    assert width < 2 * 2 * 1.96 * np.std(values)


def test_density_and_coverage_agree_with_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dc, "_TILE", 7)
    x, y = gaussian(30, 2, 0, 0.5, 0.8), gaussian(23, 2, 1)
    radii = np.sort(cdist(y, y), axis=1)[:, 3]
    inside = cdist(x, y) < radii
    density, coverage = density_coverage(torch.tensor(x), torch.tensor(y), k=3)
    assert density.value == pytest.approx(inside.sum() / (3 * 30), rel=1e-12)
    assert coverage.value == pytest.approx(inside.any(0).mean(), rel=1e-12)
    assert 0 < coverage.value < 1
    assert density.low < density.value < density.high
    assert coverage.low < coverage.value < coverage.high
    near = density_coverage(torch.tensor(y + 1e-6), torch.tensor(y), k=3)  # each ball holds its centre and two or three
    assert 1 <= near[0].value <= 4 / 3
    assert near[1].value == 1


def test_coverage_of_one_law_is_the_expected_one() -> None:
    for m, n in ((20, 40), (60, 40)):
        pairs = [(torch.tensor(gaussian(m, 3, [i, 0])), torch.tensor(gaussian(n, 3, [i, 1]))) for i in range(300)]
        found = np.array([[e.value for e in density_coverage(*pair)] for pair in pairs])
        error = found.std(0) / math.sqrt(len(found))
        assert abs(found[:, 0].mean() - 1) < 4 * error[0]
        assert abs(found[:, 1].mean() - expected_coverage(m, n)) < 4 * error[1]


def test_intervals_of_density_and_coverage_hold_their_means_over_samples() -> None:
    y = torch.tensor(gaussian(60, 3, 5))
    draws = [density_coverage(torch.tensor(gaussian(80, 3, [6, i], 0.3)), y) for i in range(300)]
    for place in (0, 1):
        mean = np.mean([draw[place].value for draw in draws])
        covered = np.mean([draw[place].low <= mean <= draw[place].high for draw in draws])
        assert covered >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / len(draws))
        width = np.mean([draw[place].high - draw[place].low for draw in draws])
        assert width < 2 * 2 * 1.96 * np.std([draw[place].value for draw in draws])


def test_sliced_distance_is_the_cheapest_transport_along_each_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal numbers: an assignment. Others: each point repeated until they are equal."""
    monkeypatch.setattr(sliced, "LINES", 5)
    lines = np.asarray(sliced.directions(2))
    x, y = gaussian(24, 2, 0, 0.7), gaussian(36, 2, 1)
    costs = []
    for line in lines:
        a, b = np.repeat(x @ line, 3), np.repeat(y @ line, 2)
        cost = (a[:, None] - b[None]) ** 2
        costs.append(cost[linear_sum_assignment(cost)].mean())
    assert sliced_wasserstein(x, y).value == pytest.approx(math.sqrt(np.mean(costs)), rel=1e-10)
    assert sliced_wasserstein(y, y).value == 0
    np.testing.assert_allclose(np.linalg.norm(lines, axis=1), 1, rtol=1e-12)


def test_sliced_distance_of_a_shift_is_its_length_along_the_lines() -> None:
    x = gaussian(200, 16, 0)
    shift = np.zeros(16)
    shift[0] = 3.0
    along = sliced.directions(16)[:, 0]
    found = sliced_wasserstein(x + shift, x)
    assert found.value == pytest.approx(3 * math.sqrt(np.mean(along**2)), rel=1e-9)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("name", MEASURES)
def test_each_measure_tells_real_from_other_and_refuses_too_few(name: str) -> None:
    """Of its least number and more: half of one law against the other half is better than a shifted law."""
    least = MEASURES[name].least(4)
    compare = MEASURES[name].against(gaussian(400, 4, 0))
    near, far = compare(gaussian(400, 4, 1)), compare(gaussian(400, 4, 2, 1.5))
    for column, value in near.items():
        assert math.isfinite(value)
        if "_" not in column:
            assert (value < far[column]) == (name != "prdc")
            if f"{column}_low" in near:
                assert near[f"{column}_low"] <= value <= near[f"{column}_high"]
    assert all(map(math.isfinite, compare(gaussian(least, 4, 3)).values()))
    if name not in ("prdc",):
        with pytest.raises(InputError):
            compare(gaussian(least - 1, 4, 3))


@pytest.mark.parametrize("call", [PolynomialDistance.to, lambda x: sliced_wasserstein(x, x)])
def test_features_that_are_not_finite_are_refused(call: object) -> None:
    with pytest.raises(InputError, match="finite features"):
        call(np.full((30, 3), np.nan))  # type: ignore[operator]


def test_what_eval_quality_means() -> None:
    assert [one.column for one in wanted("auto", 64)] == ["fd_pixels"]
    found = wanted(["auto", "fid", "kid", "prdc_pca64", "swd_sscd:a/Net.pt"], 256)
    assert [one.column for one in found] == ["fd_pca64", "fd_inception", "kid_inception", "prdc_pca64", "swd_net"]


@pytest.mark.parametrize(
    ("quality", "message"),
    [
        ("fid50k", r"eval.quality=fid50k is not one of auto, fid, kid, or <measure>_<space>.*fid50k is no measure"),
        ("fd_lpips", r"eval.quality=fd_lpips is not one of .*lpips is no space"),
        ([], "names no measure"),
        (["auto", "fd_pixels"], r"names fd_pixels twice \(last as fd_pixels\)"),
        (["kid_sscd:a/net.pt", "fd_torchscript:b/net.pt"], "names fd_net twice"),
    ],
)
def test_measures_that_are_none_are_refused(quality: str | list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        wanted(quality, 64)


def test_quality_has_the_columns_of_every_measure_and_its_null() -> None:
    images = torch.rand(200, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    space = extractor("pixels", images)
    asked = [(name, space) for name in MEASURES]
    found = Quality.against(images[:100], asked)(images[100:])
    for name in ("fd", "fdinf", "kid", "swd", "precision", "density", "coverage"):
        assert found[f"{name}_pixels_low"] <= found[f"{name}_pixels"] <= found[f"{name}_pixels_high"], name
    assert (found["precision_pixels"], found["recall_pixels"]) == (found["precision"], found["recall"])
    null = halves(images, asked)
    assert null["kid_pixels@halves"] == pytest.approx(
        PolynomialDistance.to(space(images[100:]))(space(images[:100]))[0], rel=1e-12
    )
    assert not any("_low" in name for name in null)
    assert "fdinf_pixels@halves" in null
    few = halves(images[:70], asked)  # halves of 35, for 16 features
    assert "fd_pixels@halves" in few
    assert "fdinf_pixels@halves" not in few
