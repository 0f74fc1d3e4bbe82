"""Noise predictors. Every model is called as `model(x, t)` -> epsilon.

x: [B, C, H, W], or [B, d] for the residual MLP; t: int64 [B]; epsilon has the shape of x.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from diffmem.config.model import ModelConfig, ResMLPModel, UNetModel, UNetReferenceModel
from diffmem.models.resmlp import ResMLP
from diffmem.models.unet import UNet
from diffmem.models.unet_reference import UNetReference

NETWORKS: dict[type[ModelConfig], Callable[[Any, tuple[int, ...]], nn.Module]] = {
    UNetModel: UNet,
    UNetReferenceModel: UNetReference,
    ResMLPModel: ResMLP,
}


def build(cfg: ModelConfig, shape: tuple[int, ...]) -> nn.Module:
    """A freshly initialized model, on the CPU and in train mode; torch's global seed decides its weights.

    Args:
        cfg: which network, and its size.
        shape: of one datum, (C, H, W) or (d,).

    Returns:
        `model(x, t)` -> epsilon.
    """
    return NETWORKS[type(cfg)](cfg, shape)


@lru_cache(maxsize=64)
def parameters(cfg: ModelConfig, shape: tuple[int, ...]) -> int:
    """The number of trainable parameters of `build(cfg, shape)`, without memory for them."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return sum(weight.numel() for weight in build(cfg, shape).parameters() if weight.requires_grad)
