"""A training state on disk: as a resume point (bytes that continue the run) and as a checkpoint (a model to use).

A resume point holds weights, optimizer state and averaged weights in one safetensors file; the names say which is
which (`model.`, `optimizer.<parameter>.`, `ema.` or another average). Its step is in its file name, its checksum in
resume.json. A checkpoint folder holds the model (diffusers' own format where the model is diffusers'), `scheduler/`,
`ema/` where weights are averaged (`ema_0.050/` and `ema_0.100/` of train.ema=posthoc), and `diffmem.json`: the mean,
scale, and the checksum of every file. Where model space is [-1, 1] and the model is diffusers' own without labels, the
folder (and that of each average) is one of their pipelines: `model_index.json`, `unet/`, `scheduler/`.
"""

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from diffmem import files
from diffmem.config.model import UNetModel
from diffmem.config.settings import Config
from diffmem.data import Split
from diffmem.diffusion.scheduler import scheduler
from diffmem.errors import InputError
from diffmem.models import spectral
from diffmem.models.io import load_model, save_model
from diffmem.store import RunDir
from diffmem.training import lora
from diffmem.training.initial import State, initial_state, network, trained

RAW = "raw"  # weights that are no average
UNET = "unet"  # folder of the network in a pipeline


def to_bytes(state: State) -> bytes:
    """The state as a safetensors file."""
    tensors = {f"model.{name}": value for name, value in state.model.state_dict().items()}
    for index, values in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items() if value is not None}
    for average, weights in state.averages.items():
        tensors |= {f"{average}.{name}": value for name, value in weights.items()}
    return save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})


def from_bytes(step: int, content: bytes, config: Config, device: torch.device) -> State:
    """The state that `to_bytes` wrote at `step`."""
    tensors = load(content)
    state = initial_state(config, device)
    state.step = step
    state.model.load_state_dict(_under("model.", tensors))
    weights = trained(state.model)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in _under("optimizer.", tensors).items():
        index, _, moment = name.partition(".")
        weight = weights[int(index)]
        if value.shape == weight.shape:
            value = torch.empty_like(weight).copy_(value)  # in the weight's memory layout, for the same bits
        moments.setdefault(int(index), {})[moment] = value.detach()
    groups = state.optimizer.state_dict()["param_groups"]
    state.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    for average, averaged in state.averages.items():
        for name, value in _under(f"{average}.", tensors).items():
            averaged[name].copy_(value)
    return state


def write_checkpoint(state: State, config: Config, split: Split, run: RunDir) -> None:
    """Write the checkpoint folder of the state's step in `run`, whole or not at all."""
    with run.replacing_checkpoint(state.step) as folder:
        _write_model(plain(state, RAW, config), config, folder)
        for average in state.averages:
            _write_model(plain(state, average, config), config, folder / average)
        written = sorted(file for file in folder.rglob("*") if file.is_file())
        note = {
            "step": state.step,
            "mean": split.mean.flatten().tolist(),
            "scale": split.scale,
            "weights": ["raw", *state.averages],
            "sha256": {str(file.relative_to(folder)): files.sha256(file.read_bytes()) for file in written},
        }
        (folder / "diffmem.json").write_text(json.dumps(note, indent=1) + "\n")


def damage(path: Path) -> str | None:
    """The first file of a checkpoint folder that is not what was written, or None for an intact one."""
    try:
        note: dict[str, Any] = json.loads(files.read_bytes(path / "diffmem.json"))
        for name, digest in note["sha256"].items():
            files.check_regular(path / name)
            if files.sha256((path / name).read_bytes()) != digest:
                return str(path / name)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return str(path / "diffmem.json")
    return None


def read_checkpoint(path: Path, config: Config, weights: str = "raw") -> nn.Module:
    """The model of a checkpoint folder, in eval mode. Raises InputError where a file is damaged or missing."""
    folder = whole(path, weights)
    return load_model(folder / UNET if is_pipeline(config) else folder, config.model, config.data.shape).eval()


def whole(path: Path, weights: str) -> Path:
    """The folder of these weights in a checkpoint folder. Raises InputError where a file is damaged or missing."""
    if not path.is_dir():
        raise InputError(f"{path} is missing: no checkpoint was written at that step.")
    damaged = damage(path)
    if damaged:
        raise InputError(f"{damaged} is damaged: start the run's training command again and it is made anew.")
    folder = path if weights == RAW else path / weights
    if not folder.is_dir():
        raise InputError(f"{path} holds no averaged weights {weights}: the run was trained without train.ema.")
    return folder


def plain(state: State, weights: str, config: Config) -> nn.Module:
    """The network of `state` with these weights, raw or those of an average: the one that is stored and measured.

    It has neither adapters nor a bound on its layers: the weights are those that these make.
    """
    device, bound = next(state.model.parameters()).device, config.model.spectral_norm
    model = state.model
    if weights != RAW:
        model = initial_state(config, device).model
        model.load_state_dict({**state.model.state_dict(), **state.averages[weights]})
    if config.train.lora_rank is not None:
        return network(config, device, lora.merged(model))
    if bound is not None:
        free = replace(config, model=replace(config.model, spectral_norm=None))
        return network(free, device, spectral.freed(model.state_dict(), bound))
    return model


def _write_model(model: nn.Module, config: Config, folder: Path) -> None:
    network = folder / UNET if is_pipeline(config) else folder
    network.mkdir(parents=True, exist_ok=True)
    save_model(model, config.model, config.data.shape, network)
    scheduler(config.diffusion).save_pretrained(folder / "scheduler")
    if is_pipeline(config):
        parts = {"scheduler": ["diffusers", "DDIMScheduler"], UNET: ["diffusers", "UNet2DModel"]}
        index = {"_class_name": "DDIMPipeline", "_diffusers_version": version("diffusers"), **parts}
        (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def is_pipeline(config: Config) -> bool:
    """Whether a checkpoint is a pipeline of diffusers: in a model space of [-1, 1], of a network without labels.

    diffusers has pipelines without a prompt for variance-preserving paths only.
    """
    plain = isinstance(config.model, UNetModel) and config.classes is None
    return config.data.halved and plain and config.diffusion.variance_preserving


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
