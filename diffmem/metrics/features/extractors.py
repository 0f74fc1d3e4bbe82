"""Spaces by name: what a distance of images is taken in. Images come in [0, 1] pixels, whatever the model.

    pixels              the pixels themselves; right for d <= 64
    pca64               projection on the 64 leading principal components of real images outside the test split
    inception           Inception-v3's last pooling, the space of FID; also inception_clean, inception_legacy_pytorch
    efficientnet_lite0  a real network whose weights come in a package
    torchscript:FILE, sscd:FILE, dinov2:FILE, module:PACKAGE.MODULE:FUNCTION   a network of the user's own (`own`)

A space of the user's own is called by the last part of its name: sscd:weights/sscd_disc_mixup.torchscript.pt is
sscd_disc_mixup.

Letters: N images to fit, d values in one image.
"""

import re
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffmem.definitions import derived
from diffmem.errors import InputError
from diffmem.metrics.features import efficientnet, inception, own
from diffmem.metrics.features.base import Extractor
from diffmem.metrics.features.network import Network
from diffmem.metrics.features.pca import pca64
from diffmem.metrics.features.pixels import pixels


class _Fitted(NamedTuple):
    dim: int | None  # None: as many as the image has values
    fit: Callable[[Tensor], Extractor]


class _Published(NamedTuple):
    locate: Callable[[], Path]
    load: Callable[[Path], Network]


FITTED = {"pixels": _Fitted(None, pixels), "pca64": _Fitted(64, pca64)}
PUBLISHED = {
    **{
        name: _Published(inception.locate, partial(inception.load, resize=resize))
        for name, resize in inception.RESIZING.items()
    },
    "efficientnet_lite0": _Published(efficientnet.locate, efficientnet.load),
}
OWN = (*own.FILES, own.MODULE)


def extractor(space: str, fit_images: Tensor, device: torch.device | str = "cpu") -> Extractor:
    """The extractor of `space`, fitted to `fit_images` [N, ...] (pixels, outside the test split).

    A network runs on `device`. Raises InputError for an unknown name, images too few or too small to fit it, and a
    network that is not here or does not take such images.
    """
    check_name(space)
    if space in FITTED:
        return FITTED[space].fit(fit_images)
    return _network(space).extractor(called(space), tuple(fit_images.shape[1:]), torch.device(device))


def dimension(space: str, shape: tuple[int, ...]) -> int:
    """Number of features of an image of `shape`. Raises InputError as `extractor` does for a name or a network."""
    check_name(space)
    if space in FITTED:
        return FITTED[space].dim or torch.Size(shape).numel()
    return _dimension(space, _located(space), shape)


def about(space: str) -> dict[str, Any]:
    """What decides the features of a network, as it is recorded; {} of a space that is none."""
    check_name(space)
    return {} if space in FITTED else _network(space).about


def automatic(d: int) -> str:
    """The space that `eval.quality=auto` stands for with images of `d` values."""
    return "pixels" if d <= 64 else "pca64"


def called(space: str) -> str:
    """The name of a space in columns. Raises InputError for one of the user's own that has another meaning there."""
    kind, colon, rest = space.partition(":")
    if not colon:
        return space
    last = re.split(r"[/\\:]", rest)[-1].split(".")[0]
    name = re.sub(r"[^a-z0-9]+", "_", last.lower()).strip("_")
    if not name or name in FITTED or name in PUBLISHED or derived(f"_{name}"):
        raise InputError(
            f"{space} would be called {name or 'nothing'!r} in tables: give its {_noun(kind)} another name."
        )
    return name


def check_name(space: str) -> None:
    """Raises InputError for a name that is no space."""
    kind, colon, rest = space.partition(":")
    if space not in FITTED and space not in PUBLISHED and not (colon and kind in OWN and rest):
        named = ", ".join([*FITTED, *PUBLISHED, *(f"{kind}:FILE" for kind in own.FILES)])
        raise InputError(f"{space} is no space of features: use one of {named}, {own.MODULE}:PACKAGE.MODULE:FUNCTION.")


def _located(space: str) -> tuple[Path, int, int] | None:
    """The file of a network with its time and size, by which a changed one is loaded again."""
    kind, _, rest = space.partition(":")
    path = PUBLISHED[space].locate() if space in PUBLISHED else own.locate(kind, rest)
    if path is None:
        return None
    found = path.stat()
    return path, found.st_mtime_ns, found.st_size


def _network(space: str) -> Network:
    return _load(space, _located(space))


@lru_cache(maxsize=4)
def _load(space: str, located: tuple[Path, int, int] | None) -> Network:
    path = located[0] if located else None
    if path is not None and space in PUBLISHED:
        return PUBLISHED[space].load(path)
    kind, _, rest = space.partition(":")
    return own.load(kind, rest, path)


@lru_cache(maxsize=32)
def _dimension(space: str, located: tuple[Path, int, int] | None, shape: tuple[int, ...]) -> int:
    return _load(space, located).dimension(called(space), shape)


def _noun(kind: str) -> str:
    return "function" if kind == own.MODULE else "file"
