"""Layers held at a singular value: their norm in training and after, and the ordinary network that is stored."""

import pytest
import torch
from torch import Tensor, nn

from diffmem.config.model import ResMLPModel, UNetModel, UNetReferenceModel
from diffmem.models import build
from diffmem.models.spectral import freed, hold
from tests.helpers.tiny import SMALL_UNET

CASES = {
    "unet": (UNetModel(**SMALL_UNET, dropout=0.0), (1, 8, 8)),
    "unet_reference": (UNetReferenceModel(**SMALL_UNET, dropout=0.0), (1, 8, 8)),
    "resmlp": (ResMLPModel(width=8, blocks=2), (5,)),
}


def norms(model: nn.Module) -> Tensor:
    layers = [layer for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    return torch.stack([torch.linalg.svdvals(layer.weight.detach().flatten(1))[0] for layer in layers])


@pytest.mark.parametrize("name", CASES)
def test_every_layer_has_the_norm_and_the_stored_network_is_an_ordinary_one(name: str) -> None:
    cfg, shape = CASES[name]
    torch.manual_seed(0)
    model, plain = build(cfg, shape), build(cfg, shape)
    hold(model, 0.7)
    x, t = torch.randn(2, *shape), torch.tensor([3, 700])
    with torch.no_grad():
        for _ in range(15):  # of which each comes nearer to the singular value
            model(x, t)
    plain.load_state_dict(freed(model.state_dict(), 0.7))  # names and shapes are those of a network that is not held
    assert norms(plain) == pytest.approx(0.7, rel=1e-5)
    assert norms(model.eval()) == pytest.approx(0.7, rel=0.05)
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(x, t), model(x, t), rtol=0, atol=0.1)


def test_a_linear_layer_is_its_weight_over_its_norm_and_what_is_not_held_stays() -> None:
    layer = nn.Linear(3, 2)
    model = nn.Sequential(layer, nn.LayerNorm(2))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 0, 0], [0, 4.0, 0]]))
    plain = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    hold(model, 2.0)
    found = freed(model.state_dict(), 2.0)
    assert found.keys() == plain.keys()
    assert found["0.weight"].equal(torch.tensor([[1.5, 0, 0], [0, 2.0, 0]]))
    assert all(found[name].equal(plain[name]) for name in ("0.bias", "1.weight", "1.bias"))
