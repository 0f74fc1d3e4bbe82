"""Spaces that are fitted, each of the table, components against scikit-learn's, and the names of spaces."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from diffmem.errors import InputError
from diffmem.metrics.features.extractors import FITTED, automatic, called, dimension, extractor


def images(count: int, seed: int = 0, size: int = 12) -> Tensor:
    """Smooth random images in [0, 1]: [count, 1, size, size]."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, size, size, generator=g)
    return torch.nn.functional.avg_pool2d(coarse, 3, stride=1, padding=1)


@pytest.mark.parametrize("name", FITTED)
def test_features_are_float64_of_the_stated_dimension(name: str) -> None:
    fitted = extractor(name, images(300))
    found = fitted(images(1030, seed=1))  # more than a tile
    assert found.shape == (1030, fitted.dim)
    assert found.dtype == np.float64
    assert fitted.dim == dimension(name, (1, 12, 12))
    assert fitted.name == name
    one_by_one = np.concatenate([fitted(image[None]) for image in images(1030, seed=1)[-20:]])
    np.testing.assert_allclose(found[-20:], one_by_one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", FITTED)
def test_checksum_follows_the_fit_and_not_its_rounding(name: str) -> None:
    fitted = extractor(name, images(300))
    assert len(fitted.sha256) == 64
    assert extractor(name, images(300)).sha256 == fitted.sha256
    assert extractor(name, images(300).double() * (1 + 1e-13)).sha256 == fitted.sha256
    others = {extractor(other, images(300)).sha256 for other in FITTED}
    assert len(others) == len(FITTED)
    if name != "pixels":
        assert extractor(name, images(300, seed=9)).sha256 != fitted.sha256


def test_pixels_are_the_pixels() -> None:
    some = images(5, size=8)
    np.testing.assert_array_equal(extractor("pixels", some)(some), some.flatten(1).double().numpy())


@pytest.mark.parametrize("count", [100, 1000])  # fewer and more images than the 144 values of one
def test_components_are_the_leading_ones(count: int) -> None:
    fit, fresh = images(count), images(50, seed=1)
    reference = PCA(64, svd_solver="full").fit(fit.flatten(1).double().numpy())
    expected = reference.transform(fresh.flatten(1).double().numpy())
    found = extractor("pca64", fit)(fresh)
    signs = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found, expected * signs, atol=1e-8)


@pytest.mark.parametrize("fit", [images(40), images(300, size=6), images(40).repeat(4, 1, 1, 1)])
def test_images_that_cannot_carry_the_basis_are_refused(fit: Tensor) -> None:
    with pytest.raises(InputError, match="at least 64 directions"):
        extractor("pca64", fit)


def test_names() -> None:
    assert (automatic(64), automatic(65)) == ("pixels", "pca64")
    for call in (lambda: extractor("lpips", images(3)), lambda: dimension("torchscript:", (1, 9, 9))):
        with pytest.raises(InputError, match=r"is no space of features: use one of pixels, pca64, inception,"):
            call()


@pytest.mark.parametrize(
    ("space", "name"),
    [
        ("inception_clean", "inception_clean"),
        ("sscd:weights/SSCD_disc-mixup.torchscript.pt", "sscd_disc_mixup"),
        ("module:my.features:Clip", "clip"),
    ],
)
def test_spaces_of_the_users_own_are_called_by_their_last_word(space: str, name: str) -> None:
    assert called(space) == name


@pytest.mark.parametrize("space", ["torchscript:a/inception.pt", "module:mine:pixels", "dinov2:b_low.pt", "sscd:--.pt"])
def test_a_name_that_means_something_else_in_tables_is_refused(space: str) -> None:
    with pytest.raises(InputError, match=r"give its (file|function) another name"):
        called(space)
