"""Noise predictors. Every model is called as `model(x, t)` -> epsilon.

x: [B, C, H, W], or [B, d] for the residual MLP; t: int64 [B]; epsilon has the shape of x.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from diffmem.config.settings import ModelConfig
from diffmem.models import resmlp, unet, unet_reference


@dataclass(frozen=True)
class Architecture:
    """How a model is made, and the check that its settings fit together."""

    make: Callable[[ModelConfig, tuple[int, ...]], nn.Module]
    check: Callable[[ModelConfig], None]


MODELS = {
    "unet": Architecture(unet.UNet, unet.check),
    "unet_reference": Architecture(unet_reference.UNetReference, unet_reference.check),
    "resmlp": Architecture(resmlp.ResMLP, resmlp.check),
}


def check(cfg: ModelConfig) -> None:
    """Raise InputError where the options do not fit together. Makes no model and imports no library."""
    MODELS[cfg.name].check(cfg)


def build(cfg: ModelConfig, shape: tuple[int, ...]) -> nn.Module:
    """A freshly initialized model, on the CPU and in train mode; torch's global seed decides its weights.

    Args:
        cfg: which network, and its size.
        shape: of one datum, (C, H, W) or (d,).

    Returns:
        `model(x, t)` -> epsilon.

    Raises:
        InputError: the options do not fit together.
    """
    check(cfg)
    return MODELS[cfg.name].make(cfg, shape)
