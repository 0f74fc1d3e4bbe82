"""The Gaussian mixture against brute force, quadrature, autodiff and its own samples."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import kstest, multivariate_normal, norm

from diffmem.config.data import DATA, MixtureData
from diffmem.config.options import build_variant
from diffmem.data import load
from diffmem.data.mixture import draw, log_density, score
from diffmem.errors import InputError

alpha_bars = st.floats(0, 1)
mus = st.floats(0.01, 5)
sigmas = st.floats(0.05, 3)


def points(count: int, dim: int, spread: float = 3.0, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, spread, (count, dim)))


@settings(deadline=None)
@given(dim=st.integers(1, 6), alpha_bar=alpha_bars, mu=mus, sigma=sigmas)
def test_log_density_is_that_of_two_normals(dim: int, alpha_bar: float, mu: float, sigma: float) -> None:
    x = points(20, dim)
    center = np.full(dim, math.sqrt(alpha_bar) * mu)
    variance = alpha_bar * sigma**2 + 1 - alpha_bar
    plus, minus = (multivariate_normal(sign * center, variance * np.eye(dim)).logpdf(x.numpy()) for sign in (1, -1))
    truth = np.logaddexp(plus, minus) - math.log(2)
    np.testing.assert_allclose(log_density(x, alpha_bar, mu, sigma).numpy(), truth, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(dim=st.integers(1, 6), alpha_bar=alpha_bars, mu=mus, sigma=sigmas)
def test_score_is_the_gradient_of_the_log_density(dim: int, alpha_bar: float, mu: float, sigma: float) -> None:
    x = points(20, dim).requires_grad_()
    (gradient,) = torch.autograd.grad(log_density(x, alpha_bar, mu, sigma).sum(), x)
    torch.testing.assert_close(score(x.detach(), alpha_bar, mu, sigma), gradient, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("alpha_bar", [0.0, 0.3, 1.0])
def test_density_integrates_to_one_in_one_dimension(alpha_bar: float) -> None:
    def density(x: float) -> float:
        return log_density(torch.tensor([[x]], dtype=torch.float64), alpha_bar, 1.5, 0.4).exp().item()

    total, _ = quad(density, -12, 12, points=[-1.5, 0, 1.5], limit=200)
    assert total == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("alpha_bar", [0.9999, 0.5, 0.01])
def test_density_is_that_of_data_blurred_by_the_forward_process(alpha_bar: float) -> None:
    # p_t(x) = ∫ p_0(y) N(x; sqrt(ᾱ) y, 1 - ᾱ) dy, by quadrature over y: independent of the closed form.
    mu, sigma = 1.2, 0.7
    y = np.linspace(-8, 8, 32_001)
    data = (norm.pdf(y, mu, sigma) + norm.pdf(y, -mu, sigma)) / 2
    for x in (-2.0, 0.1, 1.3):
        kernel = norm.pdf(x, math.sqrt(alpha_bar) * y, math.sqrt(1 - alpha_bar))
        truth = np.trapezoid(data * kernel, y)
        value = log_density(torch.tensor([[x]], dtype=torch.float64), alpha_bar, mu, sigma).exp().item()
        assert value == pytest.approx(truth, rel=1e-9)


def test_score_and_density_stay_finite_far_out_in_float32() -> None:
    x = torch.tensor([1e3, -1e3, 30.0])[:, None].expand(3, 16).contiguous()
    for alpha_bar in (1.0, 0.9999, 1e-4):
        value, density = score(x, alpha_bar, 5.0, 0.05), log_density(x, alpha_bar, 5.0, 0.05)
        truth = score(x.double(), alpha_bar, 5.0, 0.05)
        assert density.isfinite().all()
        torch.testing.assert_close(value.double(), truth, rtol=1e-4, atol=1e-4)


def test_one_alpha_bar_a_point() -> None:
    x = points(5, 3)
    alpha_bar = torch.linspace(0.05, 0.95, 5, dtype=torch.float64)
    for function in (score, log_density):
        each = [function(x[i : i + 1], alpha_bar[i].item(), 1.0, 0.5) for i in range(5)]
        torch.testing.assert_close(function(x, alpha_bar, 1.0, 0.5), torch.cat(each))


def test_scaled_data_have_scaled_mu_and_sigma() -> None:
    # d/dx log p(x / s) = score(x / s) / s at ᾱ = 1.
    x = points(9, 4)
    torch.testing.assert_close(score(3 * x, 1.0, 3 * 1.1, 3 * 0.6), score(x, 1.0, 1.1, 0.6) / 3)


def test_points_are_drawn_from_their_components() -> None:
    drawn = draw(40_000, 3, 1.5, 0.5).astype(np.float64)
    for sign, component in ((1, drawn[0::2]), (-1, drawn[1::2])):
        for coordinate in component.T:
            assert kstest((coordinate - sign * 1.5) / 0.5, "norm").pvalue > 1e-4
        correlation = np.asarray(np.corrcoef(component.T))[np.triu_indices(3, 1)]
        assert np.abs(correlation).max() < 4 / math.sqrt(20_000)


def test_mean_score_of_the_data_is_zero_and_its_outer_product_with_x_is_minus_one() -> None:
    # E[s(x)] = 0 and E[x s(x)^T] = -I hold for the score of any density (Stein), here on diffused draws.
    mu, sigma, alpha_bar = 1.0, 0.8, 0.6
    data = torch.from_numpy(draw(65_536, 2, mu, sigma)).double()
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=data.shape))
    x = math.sqrt(alpha_bar) * data + math.sqrt(1 - alpha_bar) * noise
    s = score(x, alpha_bar, mu, sigma)
    products = torch.cat([s, (x[:, :, None] * s[:, None, :] + torch.eye(2)).flatten(1)], dim=1)
    error = products.std(dim=0) / math.sqrt(len(x))
    assert (products.mean(dim=0).abs() < 4 * error).all()


@pytest.mark.parametrize("n", [2, 10, 256])
def test_every_subset_is_balanced(n: int) -> None:
    cfg = MixtureData(n=n, index=0, scale=1.0, dim=2, mu=50.0, sigma=0.1)
    positive = load(cfg).read(0, 65536)[:, 0] > 0
    for index in range(20):
        assert positive[index * n : (index + 1) * n].sum() == n // 2


def test_a_shorter_draw_is_the_head_of_a_longer_one_and_mu_moves_it() -> None:
    np.testing.assert_array_equal(draw(10, 4, 1.0, 0.5), draw(1000, 4, 1.0, 0.5)[:10])
    np.testing.assert_allclose(draw(10, 4, 2.0, 0.5)[0] - draw(10, 4, 1.0, 0.5)[0], 1, rtol=1e-6)


def test_a_mixture_without_its_parameters_is_refused() -> None:
    given = {"name": "mixture", "n": 4, "index": 0, "scale": 1.0, "dim": 2, "mu": 1.0}
    with pytest.raises(InputError, match=r"data\.sigma"):
        build_variant(DATA, given, "data")
    with pytest.raises(InputError, match=r"data\.size=8 does not apply to data=mixture"):
        build_variant(DATA, {**given, "sigma": 1.0, "size": 8}, "data")


@settings(deadline=None)
@given(dim=st.integers(1, 6), alpha_bar=alpha_bars, mu=mus, sigma=sigmas)
def test_a_component_is_its_normal(dim: int, alpha_bar: float, mu: float, sigma: float) -> None:
    x, labels = points(20, dim).requires_grad_(), torch.arange(20) % 2
    spread = math.sqrt(alpha_bar * sigma**2 + 1 - alpha_bar)
    center = math.sqrt(alpha_bar) * mu * (1 - 2 * labels[:, None].numpy())
    found = log_density(x, alpha_bar, mu, sigma, labels)
    truth = np.sum(norm.logpdf(x.detach().numpy(), center, spread), axis=1)
    np.testing.assert_allclose(found.detach().numpy(), truth, rtol=1e-9, atol=1e-9)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    torch.testing.assert_close(score(x, alpha_bar, mu, sigma, labels), gradient)


@pytest.mark.parametrize("labels", ["random", "unique"])
def test_labels_are_components_or_none(labels: str) -> None:
    settings = {"name": "mixture", "n": 8, "index": 0, "scale": 1.0, "dim": 2, "mu": 1.0, "sigma": 1.0}
    with pytest.raises(InputError, match=f"data.labels={labels} does not apply to data=mixture"):
        build_variant(DATA, {**settings, "labels": labels}, "data")
