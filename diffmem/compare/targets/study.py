"""Targets that others made: the reference code's saves, diffusers' folders, samples of unknown origin.

Nothing of theirs is run: weights are safetensors, or pickles read by torch's weights-only unpickler. Their training
images come by `--train`, held-out ones by `--heldout`.

reference   a folder named `<data><size>_<n>_<W>_<optimizer>_<batch>_<lr>_index<i>` with `Models/Model_<step>`;
            `--train` is the whole tensor its code read: images [i n, (i + 1) n) are trained on, the last 2048 held out
diffusers   `model_index.json` of an unconditional pixel pipeline, or `config.json` of a UNet2DModel; images in [-1, 1]
samples     a folder of images or a tensor
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffmem.compare.targets.base import Images, Model, Space, Target
from diffmem.compare.targets.files import load_state, read_images, read_json
from diffmem.compare.targets.run import nearest_saved
from diffmem.config.diffusion import LinearDiffusion, ReferenceSampler
from diffmem.data.dataset import TEST_COUNT, channel_mean
from diffmem.diffusion.process import Denoiser, Process
from diffmem.diffusion.sampler import sample
from diffmem.errors import InputError
from diffmem.models.unet_reference import load_reference_state_dict
from diffmem.study_folder import StudyFolder, parse

STUDY = LinearDiffusion(T=1000, beta_first=1e-4, beta_last=2e-2)
STUDY_SAMPLER = ReferenceSampler(calls=99)
CALLS = 50  # network calls of a diffusers target, by DDIM
SCHEDULERS = ("DDPM", "DDIM", "PNDM", "DPMSolverMultistep", "DPMSolverSinglestep", "UniPCMultistep", "DEISMultistep")
_SCHEDULE = (
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type"),
    *("clip_sample", "clip_sample_range", "thresholding", "dynamic_thresholding_ratio", "sample_max_value"),
)


@dataclass(frozen=True)
class Given:
    """The paths of `--train` and `--heldout`."""

    train: Path | None = None
    heldout: Path | None = None

    def images(self, shape: tuple[int, ...] | None, who: Path) -> Images:
        """Training and held-out images of `shape`. Raises InputError where `--train` is missing."""
        if self.train is None:
            raise InputError(f"{who} does not say what it was trained on: give --train IMAGES, a folder or a tensor.")
        train = read_images(self.train, shape, "--train")
        heldout = read_images(self.heldout, tuple(train.shape[1:]), "--heldout") if self.heldout else None
        return Images(f"--train={self.train}", train, heldout)


def is_reference(path: Path) -> bool:
    return any((path / "Models").glob("Model_*"))


def reference_targets(path: Path, which: str, given: Given) -> list[Target]:
    """The checkpoints of the reference code's folder `path` that `which` picks: a step, `last` or `all`."""
    name = parse(path)
    if name.t is not None:
        raise InputError(f"{path} was trained at one fixed diffusion time and cannot sample.")
    files = {int(file.name[6:]): file for file in (path / "Models").glob("Model_*") if file.name[6:].isdigit()}
    steps = sorted(files)
    if which == "best":
        raise InputError(f"{path}@best: the reference code stores no quality; name a step, last or all.")
    if which.isdigit() and int(which) not in files:
        raise InputError(f"{path} has no checkpoint at step {which}: {nearest_saved(int(which), steps)}.")
    chosen = {"all": steps, "last": steps[-1:]}.get(which) or [int(which)]
    images = _reference_images(path, name, given)
    space = Space(channel_mean(images.train), 1.0)
    return [
        Target(
            label=f"{path.name}@{step}",
            kind="reference",
            images=images,
            group=str(path),
            step=step,
            load=_reference_loader(files[step], name.width, space),
            how=f"{STUDY_SAMPLER.name}, {STUDY_SAMPLER.calls} calls",
            content=_digest(files[step]),
        )
        for step in chosen
    ]


def _reference_images(path: Path, name: StudyFolder, given: Given) -> Images:
    size, n, index = name.size, name.n, name.index
    if given.train is None:
        raise InputError(f"{path}: give --train TENSOR, the file its code read, such as {name.data}{size}.pt.")
    whole = read_images(given.train, (1, size, size), "--train")
    first, last = index * n, (index + 1) * n
    if last > len(whole):
        raise InputError(
            f"{path.name} was trained on images {first} to {last - 1}, and --train={given.train} has {len(whole)}: "
            "give the whole tensor."
        )
    rest = min(TEST_COUNT, len(whole) - last)
    heldout = read_images(given.heldout, (1, size, size), "--heldout") if given.heldout else whole[len(whole) - rest :]
    return Images(f"{name.data} n={n} index={index}", whole[first:last], heldout if len(heldout) else None)


def _reference_loader(file: Path, width: int, space: Space) -> Callable[[torch.device], Model]:
    def loaded(device: torch.device) -> Model:
        state = load_state(file)
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            raise InputError(f"{file} holds no state dict of tensors: give one that the reference code saved.")
        network = load_reference_state_dict(state).to(device)
        if network.width != width:
            raise InputError(f"{file} holds a network of width {network.width}, and its folder's name says {width}.")

        def draw(noise: Tensor) -> Tensor:
            return sample(network, noise, diffusion=STUDY, sampler=STUDY_SAMPLER)

        return Model(network, Process.from_config(STUDY).to(device), space, draw)

    return loaded


def is_diffusers(path: Path) -> bool:
    if (path / "model_index.json").is_file():
        return True
    config = path / "config.json"
    return config.is_file() and read_json(config).get("_class_name") == "UNet2DModel"


def diffusers_target(path: Path, given: Given) -> Target:
    """An unconditional pixel pipeline or a UNet2DModel folder, sampled by DDIM under its own noise schedule."""
    unet, scheduler = _diffusers_parts(path)
    config: dict[str, Any] = read_json(unet / "config.json")
    size = config.get("sample_size")
    height, width = size if isinstance(size, list) else (size, size)
    channels = config.get("in_channels", 3)
    if not isinstance(height, int) or not isinstance(width, int) or channels != config.get("out_channels", 3):
        raise InputError(
            f"{unet} has sample_size={size} and {channels} -> {config.get('out_channels', 3)} channels: a known size "
            "and as many channels out as in are needed."
        )
    if config.get("num_class_embeds") is not None or config.get("class_embed_type") is not None:
        raise InputError(f"{path} takes a class label: only unconditional models are compared.")
    schedule, notes = _schedule(scheduler)
    weights = _weights(unet)
    return Target(
        label=path.resolve().name,
        kind="diffusers",
        images=given.images((channels, height, width), path),
        group=str(path),
        load=_diffusers_loader(unet, weights, schedule),
        how=f"ddim, {min(CALLS, schedule.config.num_train_timesteps)} calls, {schedule.config.prediction_type}",
        content=_digest(weights),
        notes=notes,
    )


def _diffusers_parts(path: Path) -> tuple[Path, Path]:
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
    parts = {name: value for name, value in read_json(index).items() if isinstance(value, list) and value[0]}
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
    config: dict[str, Any] = read_json(file) if file.is_file() else {}
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
    try:
        made: Any = DDIMScheduler(**chosen, timestep_spacing="trailing", set_alpha_to_one=True)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise InputError(f"{file} makes no schedule ({error}).") from error
    if made.config.prediction_type not in ("epsilon", "sample", "v_prediction"):
        raise InputError(f"{file} has prediction_type={made.config.prediction_type}: epsilon, sample or v_prediction.")
    return made, notes


def _weights(unet: Path) -> Path:
    for name in ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"):
        if (unet / name).is_file():
            return unet / name
    raise InputError(f"{unet} has no weights: looked for diffusion_pytorch_model.safetensors and .bin.")


def _diffusers_loader(unet: Path, weights: Path, schedule: Any) -> Callable[[torch.device], Model]:
    def loaded(device: torch.device) -> Model:
        from diffusers.models.unets.unet_2d import UNet2DModel  # seconds to import

        if weights.suffix == ".bin":
            load_state(weights)  # refuses code, in our words
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

        def draw(noise: Tensor) -> Tensor:
            schedule.set_timesteps(min(CALLS, process.T))
            x = noise
            for t in schedule.timesteps.tolist():
                times = torch.full((len(x),), t, device=x.device)
                predicted = torch.cat([raw(*part) for part in zip(x.split(256), times.split(256), strict=True)])
                x = schedule.step(predicted, t, x).prev_sample
            return x

        denoiser = to_epsilon(raw, process, schedule.config.prediction_type)
        return Model(denoiser, process, Space(torch.tensor(0.5), 2.0), torch.no_grad()(draw))

    return loaded


def to_epsilon(raw: Denoiser, process: Process, kind: str) -> Denoiser:
    """`raw`, which predicts `epsilon`, `sample` (x_0) or `v_prediction`, as a denoiser that predicts epsilon.

    v = sqrt(alpha_bar) epsilon - sqrt(1 - alpha_bar) x_0 (Salimans and Ho 2022).
    """

    def epsilon(x: Tensor, t: Tensor) -> Tensor:
        predicted = raw(x, t)
        signal, sigma = process.coefficients(t, x)
        if kind == "sample":
            return (x - signal * predicted) / sigma
        return signal * predicted + sigma * x if kind == "v_prediction" else predicted

    return epsilon


def samples_target(path: Path, given: Given) -> Target:
    """Samples made elsewhere: their noise is unknown, so they are compared unpaired."""
    if given.train is None:
        raise InputError(f"{path} holds samples: give --train IMAGES, what their model was trained on.")
    shape = None
    if given.train.is_file():
        shape = tuple(read_images(given.train, None, "--train").shape[1:])
    samples = read_images(path, shape, "target")
    return Target(
        label=path.resolve().name,
        kind="samples",
        images=given.images(tuple(samples.shape[1:]), path),
        group=str(path),
        samples=samples,
        how="made elsewhere",
        content=hashlib.sha256(samples.numpy().tobytes()).hexdigest()[:8],
    )


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:8]
