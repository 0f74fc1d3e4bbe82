"""The largest singular value of a network's Jacobian: exact for linear ones, and autograd's own for U-Nets."""

import pytest
import torch
from torch import Tensor, nn

from diffmem.config.diffusion import LinearDiffusion
from diffmem.config.model import UNetModel, UNetReferenceModel
from diffmem.diffusion.process import Process
from diffmem.errors import InputError
from diffmem.metrics.lipschitz import lipschitz, steepest
from diffmem.models import build
from tests.helpers.tiny import SMALL_UNET

PROCESS = Process.from_config(LinearDiffusion(T=100, beta_first=1e-4, beta_last=2e-2))


class Linear(nn.Module):
    """(1 + t) A x, with dropout that must not act."""

    def __init__(self, a: Tensor) -> None:
        super().__init__()
        self.a, self.dropout = nn.Parameter(a), nn.Dropout(0.9)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.dropout((1 + t)[:, None, None] * (x.flatten(1) @ self.a.T).view_as(x))


def test_of_a_linear_network_it_is_the_norm_of_its_matrix() -> None:
    torch.manual_seed(0)
    u, v = (torch.linalg.qr(torch.randn(6, 6)).Q for _ in range(2))
    model = Linear(u @ torch.diag(torch.tensor([3.0, 1.5, 1, 0.5, 0.2, 0])) @ v).train()
    found = lipschitz(model, PROCESS, torch.rand(4, 2, 3), t=(1, 9))
    expected = {f"lipschitz{mean}_t{t}": 3 * (1 + t) for t in (1, 9) for mean in ("", "_mean")}
    assert found == pytest.approx(expected, rel=1e-4)
    assert model.training
    assert model.dropout.training


@pytest.mark.parametrize("cfg", [UNetModel(**SMALL_UNET, dropout=0.5), UNetReferenceModel(**SMALL_UNET, dropout=0.5)])
def test_of_a_network_it_is_that_of_its_jacobian(cfg: UNetModel) -> None:
    torch.manual_seed(0)
    model, x, t = build(cfg, (1, 4, 4)).eval(), torch.randn(2, 1, 4, 4), torch.tensor([5, 700])
    with torch.no_grad():  # as an evaluation calls it
        found = steepest(model, x, t, iterations=60)
    for place in range(2):
        jacobian = torch.autograd.functional.jacobian(lambda y: model(y[None], t[place : place + 1])[0], x[place])  # noqa: B023
        exact = torch.linalg.svdvals(jacobian.reshape(16, 16))[0]
        assert 0.98 * exact < found[place] < 1.0001 * exact


def test_images_and_noise_are_the_same_in_every_call_and_none_are_refused() -> None:
    images = torch.rand(8, 5)

    def model(x: Tensor, t: Tensor) -> Tensor:
        return x**3

    assert lipschitz(model, PROCESS, images, t=(7,)) == lipschitz(model, PROCESS, images, t=(7,))
    with pytest.raises(InputError, match="no images"):
        lipschitz(model, PROCESS, images[:0], t=(7,))
