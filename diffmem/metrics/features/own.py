"""Networks that a user brings: a TorchScript file, or a function of an installed module.

    torchscript:FILE           takes RGB pixels in [0, 1] at the images' own size
    sscd:FILE                  TorchScript of SSCD: 288x288, bilinear, less ImageNet's mean, over its deviation
    dinov2:FILE                TorchScript of DINOv2: 224x224, bicubic, less ImageNet's mean, over its deviation
    module:PACKAGE.MODULE:FUNCTION  a function without arguments that gives a `Network`, or a torch.nn.Module that
                               takes what torchscript:FILE takes

A file is opened without running code outside torch's own interpreter; a function is code of the user's own environment.

Source: Pizzi et al. 2022, "A self-supervised descriptor for image copy detection"; Oquab et al. 2023, "DINOv2".
"""

import importlib
from pathlib import Path
from typing import Any

from torch import nn

from diffmem.errors import InputError
from diffmem.metrics.features.files import file_sha256, load_script
from diffmem.metrics.features.network import Network

_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
FILES: dict[str, dict[str, Any]] = {
    "torchscript": {},
    "sscd": {"size": 288, "resize": "bilinear", **_IMAGENET},
    "dinov2": {"size": 224, "resize": "clean", **_IMAGENET},
}
MODULE = "module"


def locate(kind: str, rest: str) -> Path | None:
    """The file that `rest` names; None for a function. Raises InputError where there is no such file."""
    if kind == MODULE:
        return None
    path = Path(rest).expanduser()
    if not path.is_file():
        raise InputError(f"{kind}:{rest}: there is no such file. Name a TorchScript file of features.")
    return path.resolve()


def load(kind: str, rest: str, path: Path | None) -> Network:
    """The network. Raises InputError for a file that is no TorchScript and a function that gives no network."""
    if path is None:
        return _made_by(rest)
    return Network(module=load_script(path), weights_sha256=file_sha256(path), **FILES[kind])


def _made_by(rest: str) -> Network:
    module, _, function = rest.partition(":")
    if not module or not function:
        raise InputError(f"{MODULE}:{rest} is no function of a module: write {MODULE}:PACKAGE.MODULE:FUNCTION.")
    try:
        factory = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"{MODULE}:{rest} cannot be had ({error}): install the package, or put its folder on PYTHONPATH."
        ) from error
    made = factory()
    if isinstance(made, nn.Module):
        made = Network(module=made)
    if not isinstance(made, Network):
        raise InputError(
            f"{MODULE}:{rest} gave {type(made).__name__}, and a feature network is a torch.nn.Module or a "
            "diffmem.metrics.features.network.Network."
        )
    return made
