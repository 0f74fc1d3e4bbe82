"""From latents to images: the decoder of an autoencoder in diffusers' own format.

AutoencoderKL and AutoencoderTiny, from a local folder, by safetensors alone: a folder runs no code, and nothing is
fetched. Latents are taken as the encoder gives them, before any pipeline's scaling factor.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffmem.errors import InputError, first_line
from diffmem.files import json_object

CLASSES = ("AutoencoderKL", "AutoencoderTiny")
TILE = 64  # latents that are decoded at once


class Decoder:
    """`decoder(latents [N, C, h, w])` -> images [N, c, H, W] in [0, 1], float32 on the CPU."""

    def __init__(self, folder: Path, channels: int) -> None:
        self._network = _load(str(folder))
        has = self._network.config["latent_channels"]
        if has != channels:
            raise InputError(f"data.decoder={folder} decodes latents of {has} channels: data.channels={channels}.")

    @torch.no_grad()
    def __call__(self, latents: Tensor) -> Tensor:
        parts = [self._network.decode(part).sample for part in latents.float().cpu().split(TILE)]
        return (torch.cat(parts) / 2 + 0.5).clamp(0, 1)


@lru_cache(maxsize=2)
def _load(folder: str) -> Any:
    place = Path(folder)
    try:
        name = json_object(place / "config.json").get("_class_name")
    except (OSError, InputError) as error:
        raise InputError(
            f"data.decoder={folder} holds no config.json of a decoder: give the folder of one of {', '.join(CLASSES)}."
        ) from error
    if name not in CLASSES:
        raise InputError(f"data.decoder={folder} is a {name}: give the folder of one of {', '.join(CLASSES)}.")
    import diffusers

    try:
        with torch.random.fork_rng(devices=[]):
            network = getattr(diffusers, name).from_pretrained(
                folder, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False
            )
    except Exception as error:  # damaged or missing weights make the library fail in any way
        raise InputError(f"data.decoder={folder} can't be read ({first_line(error, 120)}): get it again.") from error
    return network.eval()
