"""Samples made elsewhere, as a target: a folder of images or a tensor. Their noise is unknown, so nothing is paired."""

import hashlib
from pathlib import Path

from diffmem.compare.targets.base import Target
from diffmem.compare.targets.read_images import ImagePaths, read_images
from diffmem.errors import InputError


def samples_target(path: Path, paths: ImagePaths) -> Target:
    """Samples made elsewhere: their noise is unknown, so they are compared unpaired."""
    if paths.train is None:
        raise InputError(f"{path} holds samples: give --train IMAGES, what their model was trained on.")
    shape = None
    if paths.train.is_file():
        shape = tuple(read_images(paths.train, None, "--train").shape[1:])
    samples = read_images(path, shape, "target")
    return Target(
        label=path.resolve().name,
        kind="samples",
        images=paths.images(tuple(samples.shape[1:]), path),
        group=str(path),
        samples=samples,
        how="made elsewhere",
        content=hashlib.sha256(samples.numpy().tobytes()).hexdigest()[:8],
    )
