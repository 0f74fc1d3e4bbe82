"""Floating-point operations of a network, counted by torch on the module itself, without memory for it.

The module is built and called on the meta device, which knows shapes alone, under torch's FlopCounterMode: a
multiply-add is 2 operations; convolutions, matrix products and attention count (there attention is written out as
products; the CPU's own kernel of it would not be counted). Norms, activations, randomness and the optimizer do not:
their cost is memory traffic. Every count is proportional to the number of images.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from diffmem.config.model import ModelConfig
from diffmem.models import build


@dataclass(frozen=True)
class Flops:
    """Operations of one image."""

    step: int  # forward and backward, in a training step
    call: int  # forward, in an evaluation


@lru_cache(maxsize=1024)
def count(model: ModelConfig, shape: tuple[int, ...]) -> Flops:
    """The operations of the network `model` on one datum of `shape`."""
    network = skeleton(model, shape)
    x = torch.empty(1, *shape, device="meta")
    t = torch.zeros(1, dtype=torch.int64, device="meta")
    with FlopCounterMode(display=False) as step:
        nn.functional.mse_loss(network(x, t), x).backward()
    network.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as call:
        network(x, t)
    return Flops(step.get_total_flops(), call.get_total_flops())


def skeleton(model: ModelConfig, shape: tuple[int, ...]) -> nn.Module:
    """The network without memory for its weights: their names and shapes."""
    with torch.device("meta"):
        return build(model, shape)
