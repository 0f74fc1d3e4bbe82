"""A model on disk: `config.json` and safetensors, never a pickle, and the same bytes from every process.

`unet` is in diffusers' own format, so that `UNet2DModel.from_pretrained` opens the directory.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from diffmem.config.identity import stored
from diffmem.config.model import ModelConfig
from diffmem.config.options import to_mapping
from diffmem.errors import InputError
from diffmem.files import check_regular, json_object
from diffmem.models import build
from diffmem.models.unet import UNet

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
DIFFUSERS_WEIGHTS = "diffusion_pytorch_model.safetensors"


def save_model(model: nn.Module, cfg: ModelConfig, shape: tuple[int, ...], directory: Path) -> None:
    """Write `model`, as `build(cfg, shape)` makes it, into `directory`, which is made if need be."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    if isinstance(model, UNet):
        model.net.save_config(directory)
    else:
        (directory / CONFIG).write_text(json.dumps(_config(cfg, shape), indent=2, sort_keys=True) + "\n")
    weights = saved_part(model).state_dict()
    # One metadata key at most: safetensors writes several in random order.
    content = save({name: tensor.contiguous() for name, tensor in weights.items()}, metadata={"format": "pt"})
    (directory / _weights_name(model)).write_bytes(content)  # save_file says no OSError of a full disk


def load_model(directory: Path, cfg: ModelConfig, shape: tuple[int, ...]) -> nn.Module:
    """The model that `save_model` wrote, on the CPU and in eval mode; torch's global generator is left alone.

    Args:
        directory: that `save_model` wrote.
        cfg: the settings it was saved with.
        shape: of one datum, (C, H, W) or (d,).

    Raises:
        InputError: a file is missing or damaged, or is of another model than `cfg` and `shape` describe.
    """
    directory = Path(directory)
    with torch.random.fork_rng(devices=[]):
        model = build(cfg, shape)
    _check_config(directory / CONFIG, dict(model.net.config) if isinstance(model, UNet) else _config(cfg, shape))
    path = directory / _weights_name(model)
    try:
        check_regular(path)
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as safetensors ({error}): name a complete checkpoint.") from error
    try:
        saved_part(model).load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{path} does not hold the weights of model={cfg.name} with width {cfg.width}: {error}"
        ) from error
    return model.eval()


def saved_part(model: nn.Module) -> nn.Module:
    """The module whose weights `save_model` writes: diffusers' own where there is one."""
    return model.net if isinstance(model, UNet) else model


def _weights_name(model: nn.Module) -> str:
    return DIFFUSERS_WEIGHTS if isinstance(model, UNet) else WEIGHTS


def _config(cfg: ModelConfig, shape: tuple[int, ...]) -> dict[str, Any]:
    return {**stored({"model": to_mapping(cfg)}), "shape": shape}


def _check_config(path: Path, expected: dict[str, Any]) -> None:
    """Compare the file with `expected` where both have a key (another version of diffusers may know more)."""
    try:
        stored = json_object(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): name a complete checkpoint.") from error
    plain = json.loads(json.dumps(expected))  # tuples as lists
    for key, value in plain.items():
        if not key.startswith("_") and key in stored and stored[key] != value:
            raise InputError(
                f"{path} has {key}={stored[key]}, and the settings given make it {value}: "
                "load a checkpoint with the settings of its own run."
            )
