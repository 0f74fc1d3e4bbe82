"""Checkpoints that the reference code saved, as targets.

A folder is named `<data><size>_<n>_<W>_<optimizer>_<batch>_<lr>_index<i>` and holds `Models/Model_<step>`; `--train` is
the whole tensor its code read: images [i n, (i + 1) n) are trained on, the last 2048 held out. Nothing of it is run:
weights are read by torch's weights-only unpickler.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from diffmem.compare.targets.base import ImageSets, Model, Space, Target
from diffmem.compare.targets.checkpoints import pick_steps
from diffmem.compare.targets.read_images import ImagePaths, read_images
from diffmem.compare.targets.weights import digest, stored_parameters
from diffmem.config.diffusion import LinearDiffusion, ReferenceSampler
from diffmem.data.dataset import TEST_COUNT, channel_mean
from diffmem.data.tensor_file import load_pickle
from diffmem.diffusion.process import Process
from diffmem.diffusion.sampler import sample
from diffmem.errors import InputError
from diffmem.models.unet_reference import load_reference_state_dict
from diffmem.study_folder import StudyFolder, parse

STUDY = LinearDiffusion(T=1000, beta_first=1e-4, beta_last=2e-2)
STUDY_SAMPLER = ReferenceSampler(calls=99)


def is_reference(path: Path) -> bool:
    return any((path / "Models").glob("Model_*"))


def reference_targets(path: Path, which: str, paths: ImagePaths) -> list[Target]:
    """The checkpoints of the reference code's folder `path` that `which` picks: a step, `last` or `all`."""
    name = parse(path)
    if name.t is not None:
        raise InputError(f"{path} was trained at one fixed diffusion time and cannot sample.")
    files = {int(file.name[6:]): file for file in (path / "Models").glob("Model_*") if file.name[6:].isdigit()}

    def best() -> int:
        raise InputError(f"{path}@best: the reference code stores no quality; name a step, last or all.")

    chosen = pick_steps(path, which, sorted(files), best)
    images = _images(path, name, paths)
    space = Space(channel_mean(images.train), 1.0)
    return [
        Target(
            label=f"{path.name}@{step}",
            kind="reference",
            images=images,
            group=str(path),
            step=step,
            load=_loader(files[step], name.width, space),
            how=f"{STUDY_SAMPLER.name}, {STUDY_SAMPLER.calls} calls",
            content=digest(files[step]),
            parameters=stored_parameters(files[step]),
        )
        for step in chosen
    ]


def _images(path: Path, name: StudyFolder, paths: ImagePaths) -> ImageSets:
    size, n, index = name.size, name.n, name.index
    if paths.train is None:
        raise InputError(f"{path}: give --train TENSOR, the file its code read, such as {name.data}{size}.pt.")
    whole = read_images(paths.train, (1, size, size), "--train")
    first, last = index * n, (index + 1) * n
    if last > len(whole):
        raise InputError(
            f"{path.name} was trained on images {first} to {last - 1}, and --train={paths.train} has {len(whole)}: "
            "give the whole tensor."
        )
    train = whole[first:last]
    heldout, notes = paths.apart(train)
    if heldout is None:
        rest = min(TEST_COUNT, len(whole) - last)
        heldout = whole[len(whole) - rest :] if rest else None
    return ImageSets(f"{name.data} n={n} index={index}", train, heldout, notes)


def _loader(file: Path, width: int, space: Space) -> Callable[[torch.device], Model]:
    def loaded(device: torch.device) -> Model:
        state = load_pickle(file)
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            raise InputError(f"{file} holds no state dict of tensors: give one that the reference code saved.")
        network = load_reference_state_dict(state).to(device)
        if network.width != width:
            raise InputError(f"{file} holds a network of width {network.width}, and its folder's name says {width}.")

        def draw(noise: Tensor) -> Tensor:
            return sample(network, noise, diffusion=STUDY, sampler=STUDY_SAMPLER)

        return Model(network, Process.from_config(STUDY).to(device), space, draw)

    return loaded
