"""Layers whose largest singular value is held at a number c: spectral normalization (Miyato et al. 2018).

    W = c V / sigma(V),   sigma(V) = the largest singular value of V as a matrix, [channels out, all the rest]

V is what is trained. In train mode sigma is estimated by one power iteration a call, whose vectors are buffers of the
network. What is stored and measured (`freed`) is divided by the exact sigma and is an ordinary network again.

Of a linear layer c is the Lipschitz constant; a 3x3 convolution as a map of images has at most 3 c (Tsuzuku, Sato and
Sugiyama 2018: sqrt of the size of its window), and norms and attention have none that holds everywhere. So c bounds
layers, and the constant of the network is a measurement (`metrics.lipschitz`).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

WEIGHT = "weight"
HELD = f"parametrizations.{WEIGHT}."  # in the names of what belongs to a held layer


class Scaled(nn.Module):
    """c times a weight."""

    def __init__(self, c: float) -> None:
        super().__init__()
        self.c = c

    def forward(self, weight: Tensor) -> Tensor:
        return self.c * weight


def hold(model: nn.Module, c: float) -> None:
    """Hold every convolution and linear layer of `model` at `c`, in place."""
    for layer in [*model.modules()]:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            spectral_norm(layer, WEIGHT)
            parametrize.register_parametrization(layer, WEIGHT, Scaled(c))


@torch.no_grad()
def freed(weights: Mapping[str, Tensor], c: float) -> dict[str, Tensor]:
    """The state dict of the ordinary network from `weights`, that of one whose layers are held at `c`."""
    plain = {}
    for name, tensor in weights.items():
        layer, held, kind = name.partition(HELD)
        if not held:
            plain[name] = tensor
        elif kind == "original":
            plain[layer + WEIGHT] = tensor * (c / torch.linalg.matrix_norm(tensor.flatten(1), 2))
    return plain
