"""A first sweep on somebody's own images: settings from what the images are and what the machine can do, and why.

Sizes are tried from the largest down until the sweep fits the hours there are. The training settings are those of
`experiment=digits_law`, which are known to memorize: times in steps grow with n, about TO_COPIES n until 5% of samples
are copies.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from diffmem.config.compose import compose_grid
from diffmem.config.data import ImageFolderData
from diffmem.config.settings import Config
from diffmem.data import decode, load
from diffmem.errors import InputError
from diffmem.models import parameters
from diffmem.sweep.cost import Cost, measure
from diffmem.sweep.estimate import wall_seconds
from diffmem.training import machine

LOOKED_AT = 64  # images
SIZES = (64, 32, 16, 8)
LARGEST_N = {"cpu": 1024, "gpu": 16384}
LEAST_N = 8
TO_COPIES = 50  # steps per image until 5% of the samples are copies: 40 on digits, about as many on faces
LEAST_STEPS = 3000
QUICKSTART = (
    *("optimizer=adam", "optimizer.lr=2e-3", "optimizer.beta2=0.99", "train.batch=32", "train.ema=power"),
    *("eval.weights=ema", "eval.test_images=256", "stop.f_mem=0.05", "stop.after=1", "sampler.calls=20"),
)


@dataclass(frozen=True)
class Images:
    """What a folder of images looks like. `side` is the median of the shorter sides of those looked at, in pixels."""

    root: Path
    count: int
    free: int  # outside the test split
    side: int
    gray: bool
    left_out: str


@dataclass(frozen=True)
class Proposal:
    """Overrides of `diffmem sweep`, what they take in seconds, and why they are these, option by option."""

    words: tuple[str, ...]
    expected: float
    most: float
    cost: Cost
    at_once: int  # runs
    why: dict[str, str]


def look(root: Path) -> Images:
    """The images in the folder `root`. Raises InputError where there is none, too few, or one that can't be decoded."""
    listing, left_out = decode.list_images(root)
    chosen = [root / listing[i][0] for i in np.unique(np.linspace(0, len(listing) - 1, LOOKED_AT).astype(int))]
    sides, gray = [], True
    for path in chosen:
        pixels = decode.decode(path, 32, 3).astype(np.int16)  # also refuses what is no image
        gray = gray and int(np.abs(pixels - pixels[:1]).max()) <= 2
        with Image.open(path, formats=decode.FORMATS) as image:
            sides.append(min(image.size))
    config = ImageFolderData(n=2, index=0, scale="auto", root=str(root), size=8, channels=1)
    dataset = load(config)
    free = dataset.count - dataset.test_count
    return Images(root, dataset.count, free, int(np.median(sides)), gray, left_out)


def propose(
    images: Images, device: torch.device, hours: float, measured: Callable[[Config, torch.device], Cost] = measure
) -> Proposal:
    """The sweep with the largest images that takes no more than `hours`, or the one of the smallest.

    Raises InputError for fewer than LEAST_N images to train on.
    """
    if images.free < LEAST_N:
        raise InputError(
            f"{images.root} holds {images.count} images, of which {images.free} are left to train on: give "
            f"{2 * LEAST_N} images or more."
        )
    sizes = [size for size in SIZES if size <= max(images.side, SIZES[-1]) and (size < 64 or device.type != "cpu")]
    larger = ""
    for size in sizes:
        made = _of_size(images, device, size, larger, measured)
        if made.most <= hours * 3600:
            break
        larger = f"{size} would take {made.most / 3600:.2g} h"
    return made


def _of_size(
    images: Images, device: torch.device, size: int, larger: str, measured: Callable[[Config, torch.device], Cost]
) -> Proposal:
    on_cpu = device.type == "cpu"
    ns = _values_of_n(images.free, LARGEST_N["cpu" if on_cpu else "gpu"])
    steps = max(LEAST_STEPS, TO_COPIES * ns[-1])
    model = "unet_tiny" if on_cpu or size < 32 else "unet"
    words = (
        "experiment=null",
        "data=image_folder",
        f"data.root={_quoted(images.root)}",
        f"data.n={','.join(map(str, ns))}",
        f"data.size={size}",
        f"data.channels={1 if images.gray else 3}",
        f"model={model}",
        *QUICKSTART,
        f"train.steps={steps}",
        f"out={_quoted(Path('runs') / images.root.resolve().name)}",
    )
    grid = compose_grid(list(words))
    cost = measured(grid[-1], device)
    at_once = min(machine.cores(), len(ns)) if on_cpu else 1
    expected = [cost.of_run(config, min(steps, TO_COPIES * config.data.n)) for config in grid]
    most = [cost.of_run(config, steps) for config in grid]
    largest = " (no larger: the images themselves are)" if not larger and size <= images.side < 2 * size else ""
    why = {
        "data.n": f"{images.free} of {images.count} images are there to train on, the others are held out; "
        f"{len(ns)} values tell how the times grow with n",
        "data.size": (larger or "the largest that is tried here") + largest,
        "data.channels": "every image looked at is gray" if images.gray else "there are colours",
        "data.scale": "auto, unless you say otherwise: model space in which the training pixels vary by one",
        "model": f"{parameters(grid[-1].model, grid[-1].data.shape) / 1e6:.2g} million parameters, for "
        + ("a CPU" if on_cpu else f"{size}x{size} pixels"),
        "train.steps": f"{TO_COPIES} n: 5% copies come at about 40 n with these settings on digits; "
        "stop.f_mem=0.05 ends a run when it has them",
        "optimizer, train, eval, sampler": "those of experiment=digits_law, which are known to memorize",
    }
    likely, longest = (wall_seconds(sorted(seconds, reverse=True), at_once) for seconds in (expected, most))
    return Proposal(words, likely, longest, cost, at_once, why)


def _values_of_n(free: int, largest: int) -> list[int]:
    """Up to four values, each twice the one before, the last as large as there are images."""
    last = min(free, largest)
    return [n for n in (last // 8, last // 4, last // 2, last) if n >= LEAST_N]


def _quoted(root: Path) -> str:
    """A path as a value of an override: in Hydra's quotes where it holds more than plain characters."""
    word = str(root)
    plain = all(one.isascii() and (one.isalnum() or one in "/._-") for one in word)
    return word if plain else "'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'"


def busy() -> str:
    """A word on the load of this machine, where it has more to do than cores."""
    load = os.getloadavg()[0]
    return f"; it is busy now (load {load:.1f}), so all of this is slower" if load > machine.cores() + 0.5 else ""


def rounded(proposal: Proposal) -> tuple[int, int]:
    """Steps a second and seconds a checkpoint, whole."""
    return math.floor(1 / proposal.cost.step), math.ceil(proposal.cost.evaluation)
