"""The same numbers as the codes that others use, on the same features: torchmetrics and prdc.

`benchmarks/parity.py` adds torch-fidelity, pytorch-fid and clean-fid, which need more than a test should install, and a
real network. torchmetrics takes seconds to import.
"""

import io
from contextlib import redirect_stdout

import numpy as np
import pytest
import torch

from diffmem.metrics.features.network import Network
from diffmem.metrics.standard import MEASURES
from tests.helpers.networks import FEATURES, Layers

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save")]


@pytest.fixture(scope="module")
def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Two sets of 8-bit images, [300 and 300, 3, 20, 20], of different brightness."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (300, 3, 20, 20), dtype=np.uint8)
    return torch.from_numpy(first), torch.from_numpy(
        (rng.integers(0, 256, (300, 3, 20, 20)) ** 1.02 // 1.2).astype("u1")
    )


@pytest.fixture(scope="module")
def features(images: tuple[torch.Tensor, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    by = Network(module=Layers()).extractor("layers", (3, 20, 20), torch.device("cpu"))
    first, second = (by(some / 255) for some in images)
    return first, second


class OfBytes(torch.nn.Module):
    """The same network for torchmetrics, which hands over bytes."""

    num_features = FEATURES

    def __init__(self) -> None:
        super().__init__()
        self.layers = Layers()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x / 255)


def test_fid_and_kid_are_torchmetrics(
    images: tuple[torch.Tensor, torch.Tensor], features: tuple[np.ndarray, np.ndarray]
) -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    real, drawn = images
    for name, metric in (
        ("fd", FrechetInceptionDistance(feature=OfBytes())),
        ("kid", KernelInceptionDistance(feature=OfBytes(), subsets=1, subset_size=len(real))),
    ):
        metric.update(real, real=True)
        metric.update(drawn, real=False)
        found = metric.compute()
        expected = float(found[0] if isinstance(found, tuple) else found)
        assert MEASURES[name].against(features[0])(features[1])[name] == pytest.approx(expected, rel=1e-4), name
        assert expected > 1e-3


@pytest.mark.parametrize("k", [3, 5])
def test_precision_to_coverage_are_prdcs(k: int, features: tuple[np.ndarray, np.ndarray]) -> None:
    from prdc import compute_prdc

    with redirect_stdout(io.StringIO()):
        expected = compute_prdc(real_features=features[0], fake_features=features[1], nearest_k=k)
    found = MEASURES["prdc"].against(features[0])(features[1])
    for name in ("precision", "recall") if k == 3 else ("density", "coverage"):
        assert found[name] == pytest.approx(expected[name], rel=1e-9), name
        assert 0 < found[name] < 1.5
