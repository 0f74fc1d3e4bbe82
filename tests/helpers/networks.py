"""Small feature networks: a TorchScript file as those that are published, a factory, and weights by a formula."""

import warnings
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from diffmem.metrics.features.network import Network

FEATURES = 6


class Layers(nn.Module):
    """[M, channels, H, W] -> [M, features]: a convolution, a rectifier, a mean over places."""

    def __init__(self, channels: int = 3, seed: int = 0, features: int = FEATURES) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, features, 3)
        with torch.no_grad():
            noise = torch.randn(self.conv.weight.shape, generator=torch.Generator().manual_seed(seed))
            self.conv.weight.copy_(noise)
            self.conv.bias.zero_()  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x)).mean(dim=(2, 3))


class Published(nn.Module):
    """As the TorchScript file of Inception: its `layers` take normalized images of 299x299 and leave two more axes."""

    def __init__(self, features: int = FEATURES) -> None:
        super().__init__()
        self.layers = nn.Sequential(Layers(features=features), nn.Unflatten(1, (features, 1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).flatten(1)


def save_script(module: nn.Module, path: Path) -> Path:
    """`module` as TorchScript at `path`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        torch.jit.script(module).save(str(path))
    return path


def bare() -> nn.Module:
    return Layers()


def colour() -> Network:
    """A network that takes no gray images."""
    return Network(module=Layers(), size=16, repeat_gray=False)


def seven() -> int:
    return 7


def by_formula(module: nn.Module) -> dict[str, Tensor]:
    """Weights that follow from their names and shapes alone, and keep the size of what passes through a network."""
    state = {}
    for name, value in module.state_dict().items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        drawn = rng.standard_normal(tuple(value.shape))
        if name.endswith("running_var"):
            drawn = np.exp(0.2 * drawn)
        elif name.endswith("bn.weight"):
            drawn = 1 + 0.1 * drawn
        elif value.ndim > 1:
            drawn *= 1.4 / np.sqrt(value[0].numel())
        else:
            drawn *= 0.1
        state[name] = torch.as_tensor(drawn).to(value.dtype)
    module.load_state_dict(state, assign=True)
    return state
