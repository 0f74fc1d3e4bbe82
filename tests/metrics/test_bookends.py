"""Bookends of quality: each generator is what it says, keyed, independent of n, and rightly ordered on digits."""

import pytest
import torch

from diffmem.config.compose import compose
from diffmem.data import load, outside_test, split
from diffmem.diffusion.process import Process
from diffmem.diffusion.sampler import initial_noise, sample
from diffmem.metrics.bookends import GENERATORS, Real, columns, gaussian_denoiser, measured
from diffmem.metrics.features.extractors import extractor
from diffmem.metrics.quality import Quality

COUNT = 200


def digits(n: int, calls: int = 10) -> Real:
    config = compose(["data=digits", f"data.n={n}", f"sampler.calls={calls}"])
    dataset, noise = load(config.data), initial_noise(COUNT, config.data.shape)
    return Real(
        images=outside_test(dataset, 10_000),
        split=split(dataset, config.data),
        process=Process.from_config(config.diffusion),
        draw=lambda denoiser: sample(denoiser, noise, diffusion=config.diffusion, sampler=config.sampler),
    )


@pytest.fixture(scope="module")
def real() -> Real:
    return digits(96)


@pytest.fixture(scope="module")
def found(real: Real) -> dict[str, dict[str, float]]:
    test = real.split.to_pixels(real.split.test)
    return measured(real, Quality.against(test, [("fd", extractor("pixels", real.images))]), COUNT)


def test_only_copies_depend_on_n_and_all_are_drawn_alike_again(real: Real) -> None:
    fewer = digits(16)
    for name, generate in GENERATORS.items():
        drawn, other = generate(real, COUNT), generate(fewer, COUNT)
        assert torch.equal(drawn, generate(real, COUNT))
        assert drawn.shape == (COUNT, 1, 8, 8)
        assert torch.allclose(drawn, other, atol=1e-5) == (name != "copies")


def test_generators_are_what_they_say(real: Real) -> None:
    images = real.images.flatten(1)
    others = GENERATORS["real"](real, 5000)
    assert len(others) == len(real.images) == len(others.flatten(1).unique(dim=0))  # no image twice
    assert len(GENERATORS["copies"](real, 5000).flatten(1).unique(dim=0)) == 96
    many = 20_000
    drawn = GENERATORS["independent"](real, many).flatten(1)
    error = 5 * images.std(dim=0) / many**0.5 + 1e-6
    assert ((drawn.mean(0) - images.mean(0)).abs() < error).all()
    correlation = torch.corrcoef(drawn[:, images.std(dim=0) > 0.1].T).fill_diagonal_(0)
    assert correlation.abs().max() < 5 / many**0.5
    drawn = GENERATORS["gaussian"](real, many).flatten(1)
    assert (torch.cov(drawn.T) - torch.cov(images.double().T)).abs().max() < 0.01
    known = {row.tobytes() for row in images.numpy()}  # sixteenths: sums are exact
    for half in GENERATORS["average"](real, 3).flatten(1):
        assert any(row.tobytes() in known for row in (2 * half - images).numpy())


def test_the_gaussian_denoiser_is_the_conditional_expectation(real: Real) -> None:
    images = real.images[:2048].flatten(1).double()
    scale, shift = real.split.scale, real.split.mean.double().item()
    mean, cov = (images.mean(0) - shift) * scale, torch.cov(images.T) * scale**2
    x = initial_noise(7, (1, 8, 8))
    for t in (0, 400, 999):
        alpha_bar = real.process.alpha_bar[t].double()
        apart = x.flatten(1).double() - alpha_bar.sqrt() * mean
        inverse = torch.linalg.inv(alpha_bar * cov + (1 - alpha_bar) * torch.eye(64, dtype=torch.float64))
        x0 = mean + alpha_bar.sqrt() * apart @ inverse @ cov
        epsilon = (x.flatten(1).double() - alpha_bar.sqrt() * x0) / (1 - alpha_bar).sqrt()
        given = gaussian_denoiser(real)(x, torch.full((7,), t))
        torch.testing.assert_close(given.flatten(1).double(), epsilon, rtol=1e-4, atol=1e-5)


def test_the_kernel_distance_orders_them(found: dict[str, dict[str, float]]) -> None:
    value = {name: values["mmd_pixels"] for name, values in found.items()}
    assert found["real"]["mmd_pixels_low"] < 0 < found["real"]["mmd_pixels_high"]
    assert value["real"] < value["copies"] < value["independent"] < value["gaussian"]
    assert value["gaussian"] < value["average"] < value["mean_image"]
    assert found["mean_image"]["precision"] == 1
    assert found["mean_image"]["recall"] == 0


def test_more_calls_keep_more_of_the_variance(real: Real, found: dict[str, dict[str, float]]) -> None:
    kept = [found["sampler"]["variance"]]
    for calls in (50, 200):
        drawn = GENERATORS["sampler"](digits(96, calls), COUNT).flatten(1).double()
        kept.append(float(drawn.var(dim=0).sum() / real.gaussian.values.sum()))
    assert kept == sorted(kept)
    assert kept[0] < 0.8
    assert abs(kept[2] - 1) < 0.1


def test_columns_are_the_measures_alone(found: dict[str, dict[str, float]]) -> None:
    names = set(columns(found))
    assert {"mmd_pixels@gaussian", "fd_pixels@real", "recall@copies", "variance@sampler"} <= names
    assert not any("_low" in name or "_bias" in name or "samples" in name for name in names)


def test_points_are_not_clamped() -> None:
    points = 5 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    quality = Quality.against(points, [("fd", extractor("pixels", points))])
    assert "outside" not in quality(points)
    assert quality(points)["fd_pixels"] == pytest.approx(0, abs=1e-9)
    images = points.view(50, 1, 1, 3)
    found = Quality.against(images.clamp(0, 1), [("fd", extractor("pixels", images))])(images)
    assert found["outside"] == float(((images < 0) | (images > 1)).double().mean())
    assert found["fd_pixels"] == pytest.approx(0, abs=1e-9)
