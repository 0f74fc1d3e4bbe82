"""Models that diffusers saved, as targets: `model_index.json` of an unconditional pixel pipeline, or `config.json` of a
UNet2DModel. Images are in [-1, 1], and are drawn by DDIM under the model's own noise schedule.

Nothing of theirs is run: weights are safetensors, or pickles read by torch's weights-only unpickler.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffmem import arguments
from diffmem.compare.targets.base import Model, Space, Target
from diffmem.compare.targets.read_images import ImagePaths
from diffmem.compare.targets.weights import digest, stored_parameters
from diffmem.config.identity import short_hash
from diffmem.data.tensor_file import load_pickle
from diffmem.diffusion.process import Denoiser, Process
from diffmem.diffusion.scheduler import PREDICTION_TYPES, spaced
from diffmem.diffusion.target import Target as Asked
from diffmem.errors import InputError
from diffmem.files import json_object

CALLS = 50  # network calls of DDIM
SCHEDULERS = ("DDPM", "DDIM", "PNDM", "DPMSolverMultistep", "DPMSolverSinglestep", "UniPCMultistep", "DEISMultistep")
_SCHEDULE = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "clip_sample",
    "clip_sample_range",
    "thresholding",
    "dynamic_thresholding_ratio",
    "sample_max_value",
)
KINDS = {kind: name for name, kind in PREDICTION_TYPES.items()}  # diffusers' word for a target -> ours


LONGEST = 100_000  # diffusion times
LARGEST = 4096  # pixels a side
NUMBERS: dict[str, Any] = {
    "num_train_timesteps": {"low": 2, "high": LONGEST},
    "beta_start": {"above": 0, "high": 1},
    "beta_end": {"above": 0, "high": 1},
    "clip_sample_range": {"above": 0, "high": 1e6},
    "dynamic_thresholding_ratio": {"low": 0, "high": 1},
    "sample_max_value": {"above": 0, "high": 1e6},
}


def is_diffusers(path: Path) -> bool:
    if (path / "model_index.json").is_file():
        return True
    config = path / "config.json"
    return config.is_file() and json_object(config).get("_class_name") == "UNet2DModel"


def diffusers_target(path: Path, paths: ImagePaths) -> Target:
    """An unconditional pixel pipeline or a UNet2DModel folder, sampled by DDIM under its own noise schedule."""
    unet, scheduler = _parts(path)
    config: dict[str, Any] = json_object(unet / "config.json")
    size: Any = config.get("sample_size")
    height, width = size if isinstance(size, list) and len(size) == 2 else (size, size)
    channels = config.get("in_channels", 3)
    known = all(type(side) is int and 1 <= side <= LARGEST for side in (height, width, channels))
    out = config.get("out_channels", 3)
    if not known or channels != out:
        raise InputError(
            f"{unet} has sample_size={arguments.shown(size)} and {channels} -> {out} channels: a known "
            "size and as many channels out as in are needed."
        )
    if config.get("num_class_embeds") is not None or config.get("class_embed_type") is not None:
        raise InputError(f"{path} takes a class label: only unconditional models are compared.")
    schedule, notes = _schedule(scheduler)
    weights = _weights(unet)
    return Target(
        label=path.resolve().name,
        kind="diffusers",
        images=paths.images((channels, height, width), path),
        group=str(path),
        load=_loader(unet, weights, schedule),
        how=f"ddim, {min(CALLS, schedule.config.num_train_timesteps)} calls, {schedule.config.prediction_type}",
        content=digest(weights) + short_hash(dict(schedule.config)),
        parameters=stored_parameters(weights),
        notes=notes,
    )


def _parts(path: Path) -> tuple[Path, Path]:
    """The folders of the network and of its scheduler."""
    if (path / "diffmem.json").is_file():
        raise InputError(
            f"{path} is a checkpoint of a run, in the run's own pixel space: name {path.parent.parent}@"
            f"{path.name.removeprefix('step_').lstrip('0') or 0} instead."
        )
    index = path / "model_index.json"
    if not index.is_file():
        beside = path.parent / "scheduler" if path.name == "unet" else path / "scheduler"
        return path, beside
    parts = {name: value for name, value in json_object(index).items() if isinstance(value, list) and value[0]}
    if set(parts) != {"unet", "scheduler"} or parts["unet"] != ["diffusers", "UNet2DModel"]:
        raise InputError(
            f"{path} has the parts {', '.join(sorted(parts))}: only unconditional pipelines in pixel space are "
            "compared, a UNet2DModel and a scheduler."
        )
    return path / "unet", path / "scheduler"


def _schedule(folder: Path) -> tuple[Any, list[str]]:
    """diffusers' DDIMScheduler of this noise schedule, and what there is to say about it."""
    from diffusers import DDIMScheduler  # seconds to import

    file, notes = folder / "scheduler_config.json", []
    config: dict[str, Any] = json_object(file) if file.is_file() else {}
    name = str(config.get("_class_name", "DDPMScheduler"))
    if name.removesuffix("Scheduler") not in SCHEDULERS:
        raise InputError(
            f"{file} is a {name}: only discrete variance-preserving schedules are known ({', '.join(SCHEDULERS)})."
        )
    if not config:
        notes.append(
            "no scheduler beside the network, so diffusers' default is taken: linear, T = 1000, clipped samples."
        )
    chosen = {key: config[key] for key in _SCHEDULE if config.get(key) is not None}
    if name not in ("DDPMScheduler", "DDIMScheduler"):
        chosen.setdefault("clip_sample", False)
    _check_schedule(file, chosen)
    try:
        made: Any = DDIMScheduler(**chosen, timestep_spacing="trailing", set_alpha_to_one=True)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise InputError(f"{file} makes no schedule ({error}).") from error
    if made.config.prediction_type not in KINDS:
        raise InputError(f"{file} has prediction_type={made.config.prediction_type}: epsilon, sample or v_prediction.")
    return made, notes


def _check_schedule(file: Path, chosen: Mapping[str, Any]) -> None:
    """Raise InputError where a number of the schedule is none that could be one."""
    try:
        for name, bounds in NUMBERS.items():
            if name in chosen:
                check = arguments.whole if name == "num_train_timesteps" else arguments.number
                check(name, chosen[name], **bounds)
        betas = chosen.get("trained_betas")
        if betas is not None and (not isinstance(betas, list) or not 2 <= len(betas) <= LONGEST):
            raise InputError(f"trained_betas={arguments.shown(betas)} is no list of 2 to {LONGEST} numbers.")
        for beta in betas or ():
            arguments.number("trained_betas", beta, above=0, high=1)
    except (InputError, TypeError) as error:
        raise InputError(f"{file}: {error}") from error


def _weights(unet: Path) -> Path:
    for name in ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"):
        if (unet / name).is_file():
            return unet / name
    raise InputError(f"{unet} has no weights: looked for diffusion_pytorch_model.safetensors and .bin.")


def _loader(unet: Path, weights: Path, schedule: Any) -> Callable[[torch.device], Model]:
    def loaded(device: torch.device) -> Model:
        from diffusers.models.unets.unet_2d import UNet2DModel  # seconds to import

        if weights.suffix == ".bin":
            load_pickle(weights)  # refuses code, in our words
        try:
            network = UNet2DModel.from_pretrained(
                unet, local_files_only=True, use_safetensors=weights.suffix == ".safetensors", low_cpu_mem_usage=False
            )
        except Exception as error:  # a damaged or foreign file makes the loader fail in any way
            raise InputError(
                f"{weights} does not load ({str(error).partition(chr(10))[0]}): give a whole folder."
            ) from error
        network = network.eval().to(device)
        process = Process(schedule.alphas_cumprod.float()).to(device)

        def raw(x: Tensor, t: Tensor) -> Tensor:
            predicted: Tensor = network(x, t, return_dict=False)[0]
            return predicted

        denoiser = Asked.along(process, KINDS[schedule.config.prediction_type]).denoiser(raw)
        return Model(denoiser, process, Space(torch.tensor(0.5), 2.0), lambda noise: draw(raw, noise, schedule))

    return loaded


@torch.no_grad()
def draw(raw: Denoiser, noise: Tensor, schedule: Any) -> Tensor:
    """Samples from `noise` by CALLS calls of `raw`, which predicts what `schedule` (diffusers' DDIMScheduler) says."""
    short, known = spaced(schedule, min(CALLS, schedule.config.num_train_timesteps))
    x = noise
    for place, t in zip(short.timesteps.tolist(), known, strict=True):
        times = torch.full((len(x),), t, device=x.device)
        predicted = torch.cat([raw(*part) for part in zip(x.split(256), times.split(256), strict=True)])
        x = short.step(predicted, place, x).prev_sample
    return x
