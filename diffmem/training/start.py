"""The network that a run goes on from (`train.init`): weights of another training, RUN@STEP, or of a diffusers folder.

What they are is known by their content, which is a part of the run's identity; where they lie is not.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffmem.config.options import to_mapping
from diffmem.config.settings import Config
from diffmem.diffusion.scheduler import scheduler
from diffmem.errors import InputError, reading
from diffmem.files import json_object
from diffmem.models.io import load_model
from diffmem.store import RunDir
from diffmem.training import snapshot

CHECKPOINT = re.compile(r"(.+)@(\d+)", re.DOTALL)
FREE = ("dropout",)  # options of a network that may change when it is trained on
SCHEDULE = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type")
CLOSE = 1e-5  # of alpha_bar


def weights(config: Config) -> dict[str, Tensor] | None:
    """The weights that `config` begins with, on the CPU; None where these are drawn from the seed.

    Raises InputError where they cannot be had, or are of another network, shape or diffusion than `config`.
    """
    if config.train.init is None:
        return None
    with reading(f"train.init={config.train.init}"):
        return _network(config, config.train.init).state_dict()


def sha256(config: Config) -> str | None:
    """The checksum of the names, shapes and bytes of `weights`; None where there are none. Raises as they do."""
    found = weights(config)
    if found is None:
        return None
    digest = hashlib.sha256()
    for name, weight in sorted(found.items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        digest.update(weight.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _network(config: Config, init: str) -> nn.Module:
    checkpoint = CHECKPOINT.fullmatch(init)
    if checkpoint and not Path(init).exists():
        return _of_run(config, RunDir(Path(checkpoint[1]).expanduser()), int(checkpoint[2]))
    return _of_folder(config, Path(init).expanduser())


def _of_run(config: Config, run: RunDir, step: int) -> nn.Module:
    other = Config.from_stored(run.read_config(), run.config_path)
    if other.data.shape != config.data.shape:
        raise InputError(
            f"train.init={config.train.init} is of data of shape {other.data.shape}, and data={config.data.name} has "
            f"{config.data.shape}: use data of one shape."
        )
    for group in ("model", "diffusion"):
        _check_same(config, group, *(to_mapping(getattr(one, group)) for one in (other, config)))
    return snapshot.read_checkpoint(run.checkpoint_path(step), other, config.train.init_weights)


def _check_same(config: Config, group: str, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    for name in sorted({*stored, *asked} - {*FREE}):
        if stored.get(name) != asked.get(name):
            raise InputError(
                f"train.init={config.train.init} has {group}.{name}={_word(stored.get(name))}, and this run "
                f"{_word(asked.get(name))}: set {group}.{name}={_word(stored.get(name))}."
            )


def _word(value: Any) -> str:
    return "null" if value is None else str(value).replace(" ", "")


def _of_folder(config: Config, folder: Path) -> nn.Module:
    """The network of a folder that diffusers saved: a pipeline, or a UNet2DModel with its scheduler beside it."""
    option = f"train.init={config.train.init}"
    if not folder.is_dir():
        raise InputError(f"{option} is no folder, and no RUN@STEP: name a checkpoint of a run, or a diffusers folder.")
    if (folder / "diffmem.json").is_file():
        step = folder.name.removeprefix("step_").lstrip("0") or 0
        raise InputError(f"{option} is a checkpoint of a run: name it as train.init={folder.parent.parent}@{step}.")
    if config.train.init_weights != snapshot.RAW:
        raise InputError(
            f"train.init_weights={config.train.init_weights} is of a run's checkpoint, RUN@STEP: leave it."
        )
    unet = folder / snapshot.UNET if (folder / "model_index.json").is_file() else folder
    if not (unet / "config.json").is_file() or json_object(unet / "config.json").get("_class_name") != "UNet2DModel":
        raise InputError(f"{option} holds no UNet2DModel of diffusers: name a folder with its config.json.")
    schedules = [place / "scheduler_config.json" for place in (folder / "scheduler", unet.parent / "scheduler")]
    for schedule in filter(Path.is_file, schedules):
        _check_schedule(config, json_object(schedule))
    return load_model(unet, config.model, config.data.shape)


def _check_schedule(config: Config, stored: Mapping[str, Any]) -> None:
    from diffusers import DDIMScheduler  # seconds to import

    if not config.diffusion.variance_preserving:
        raise InputError(
            f"train.init={config.train.init} has a scheduler of a variance-preserving path, and diffusion="
            f"{config.diffusion.schedule} is another: use diffusion=ddpm_linear or ddpm_cosine, or a run's checkpoint."
        )
    own: Any = scheduler(config.diffusion)
    theirs: Any = DDIMScheduler(**{name: stored[name] for name in SCHEDULE if stored.get(name) is not None})
    if theirs.config.prediction_type != own.config.prediction_type:
        raise InputError(
            f"train.init={config.train.init} predicts {theirs.config.prediction_type}, and this run "
            f"{own.config.prediction_type}: train on with what it predicts."
        )
    alphas, other = own.alphas_cumprod, theirs.alphas_cumprod
    if len(alphas) != len(other) or not torch.allclose(alphas, other, rtol=0, atol=CLOSE):
        raise InputError(
            f"train.init={config.train.init} has another noise schedule ({len(other)} times, beta_schedule="
            f"{theirs.config.beta_schedule}) than diffusion={config.diffusion.schedule}: choose the one it has."
        )
