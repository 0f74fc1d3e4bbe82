"""Operations counted by torch on the meta device, against formulas and a tally of layers that really ran."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from diffmem.config.compose import compose
from diffmem.config.model import MODELS, ResMLPModel, UNetModel
from diffmem.config.settings import Config
from diffmem.models import build
from diffmem.training.flops import count

NETWORKS = {
    "unet": ["model=unet", "data=fashion_mnist", "model.width=8", "model.groups=4"],
    "unet_reference": ["model=unet_reference", "data=fashion_mnist", "model.width=8", "model.groups=4"],
    "resmlp": ["model=resmlp", "data=mixture"],
}


def config_of(name: str) -> Config:
    return compose(NETWORKS[name])


@pytest.mark.parametrize(("d", "width", "blocks"), [(8, 128, 3), (5, 16, 1)])
def test_a_residual_mlp_has_its_formula(d: int, width: int, blocks: int) -> None:
    forward = 2 * (d * width + blocks * 2 * width**2 + width * d)
    found = count(ResMLPModel(width=width, blocks=blocks), (d,))
    assert found.call == forward
    # backward: as much for the weights, as much for the inputs but for that of the first layer, which is data
    assert found.step == 3 * forward - 2 * d * width


def test_a_convolutional_net_has_its_formula() -> None:
    model = UNetModel(
        width=4, blocks=1, multipliers=(1,), attention=(), mid_attention=False, heads=1, groups=2, dropout=0.0
    )
    w, pixels = 4, 8 * 8
    conv = 2 * pixels * 9  # operations of a 3x3 convolution for each input and output channel
    residual = [(w, w), (w, w)]  # one block down, two in the bottleneck
    up = [(2 * w, w), (w, w)]  # blocks that take a skip, with a 1x1 convolution beside
    convolutions = conv * (w + sum(a * b for a, b in 3 * residual + 2 * up) + w) + 2 * (2 * pixels * 2 * w * w)
    time = 2 * (w * 4 * w + 4 * w * 4 * w) + 5 * 2 * 4 * w * w  # the embedding, and its way into each block
    assert count(model, (1, 8, 8)).call == convolutions + time


@pytest.mark.parametrize("name", MODELS)
def test_every_network_counts_what_its_layers_do(name: str) -> None:
    """Linear and convolutional layers tallied by the shapes they saw on the CPU, attention by its two products."""
    config = config_of(name)
    network, tally = build(config.model, config.data.shape), {"layers": 0, "data": 0}

    def tell(layer: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        operations = 2 * made.numel() * layer.weight[0].numel()
        tally["layers"] += operations
        tally["data"] += 0 if given[0].requires_grad else operations  # whose input needs no gradient

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(tell)
    x = torch.randn(1, *config.data.shape)
    network(x, torch.ones(1, dtype=torch.int64))
    found, attention = count(config.model, config.data.shape), 0
    if not isinstance(config.model, ResMLPModel):
        down, up, middle = config.model.blocks, config.model.blocks + 1, 1  # places of attention at a level
        width, size = config.model.width, config.data.shape[-1]
        for level in (2, 3):
            tokens = (size // 2 ** (level - 1)) ** 2
            places = down + up + (middle if level == 3 else 0)
            attention += places * 2 * 2 * tokens**2 * width * config.model.multipliers[level - 1]
    assert found.call == tally["layers"] + attention
    assert found.step == 3 * found.call - tally["data"]


@pytest.mark.parametrize("name", MODELS)
def test_operations_are_proportional_to_the_number_of_images(name: str) -> None:
    config = config_of(name)
    with torch.device("meta"):
        network, x = build(config.model, config.data.shape), torch.empty(3, *config.data.shape)
        t = torch.zeros(3, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        nn.functional.mse_loss(network(x, t), x).backward()
    assert counter.get_total_flops() == 3 * count(config.model, config.data.shape).step


def test_a_network_that_no_memory_holds_is_counted() -> None:
    config = compose(["model=unet", "data=fashion_mnist", "model.width=16384"])  # a trillion weights
    assert count(config.model, config.data.shape).call > 1e14
