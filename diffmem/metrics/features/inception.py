"""Inception-v3 as of 2015-12-05, whose last pooling (pool3, 2,048 features) is the space of FID and KID.

Either of two published files gives it, both verified by checksum:

    inception-2015-12-05.pt                      TorchScript, of StyleGAN2-ADA, StyleGAN3 and clean-fid
    (weights|pt)-inception-2015-12-05-6726825d.pth  weights, of torch-fidelity (and torchmetrics) and of pytorch-fid

They are looked for in the folder $DIFFMEM_WEIGHTS, then where those libraries keep them. Pixels are rounded to 8 bits,
since those libraries read picture files. The ways to resize (`resize`) give different numbers under one name:

    inception                 legacy_tensorflow, as StyleGAN, torch-fidelity, torchmetrics and the first FID
    inception_clean           clean, as clean-fid recommends
    inception_legacy_pytorch  legacy_pytorch, as pytorch-fid

Source: Heusel et al. 2017, "GANs trained by a two time-scale update rule converge to a local Nash equilibrium".
"""

import os
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from diffmem.errors import InputError
from diffmem.metrics.features.files import file_sha256, load_script, load_weights
from diffmem.metrics.features.inception_network import Inception
from diffmem.metrics.features.network import Network

SCRIPT = "inception-2015-12-05.pt"
WEIGHTS = ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth")
SHA256 = {
    SCRIPT: "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
    **dict.fromkeys(WEIGHTS, "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"),
}
URLS = {
    SCRIPT: "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/",
    WEIGHTS[0]: "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/",
}
VARIABLE = "DIFFMEM_WEIGHTS"
CLEAN_FID = Path("/tmp")  # where it keeps its file
RESIZING = {
    "inception": "legacy_tensorflow",
    "inception_clean": "clean",
    "inception_legacy_pytorch": "legacy_pytorch",
}
_GRAY_128 = ((128 / 255,) * 3, (128 / 255,) * 3)  # (x - 128) / 128 of 8-bit pixels, as in the graph
_HALF = ((0.5,) * 3, (0.5,) * 3)  # 2 x - 1 of pixels in [0, 1], as pytorch-fid has it


class Pool3(nn.Module):
    """The layers of the TorchScript file, without the resizing that it does before them."""

    def __init__(self, script: nn.Module) -> None:
        super().__init__()
        self.layers = cast(nn.Module, script.layers)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x)
        return features.flatten(1)


def locate() -> Path:
    """The first file that is one of the two. Raises InputError where there is none, or only damaged ones."""
    wrong = []
    for path in _places():
        if path.is_file():
            name = next(name for name in SHA256 if path.name.endswith(name))
            if (found := file_sha256(path)) == SHA256[name]:
                return path
            wrong.append(f"{path} has sha256 {found} where {name} has {SHA256[name]}: get it again. ")
    raise InputError(
        f"{''.join(wrong)}No Inception network is here: put {SCRIPT} (sha256 {SHA256[SCRIPT][:8]}..., from "
        f"{URLS[SCRIPT]}) or {WEIGHTS[0]} (sha256 {SHA256[WEIGHTS[0]][:8]}..., from {URLS[WEIGHTS[0]]}) into a folder "
        f"and set {VARIABLE} to it."
    )


def load(path: Path, resize: str) -> Network:
    """The network in `path`, a file that `locate` found, with one of the ways to resize."""
    module: nn.Module
    if path.name.endswith(SCRIPT):
        module = Pool3(load_script(path))
    else:
        with torch.device("meta"):  # 24 million weights that are not drawn to be replaced
            module = Inception()
        module.load_state_dict(load_weights(path), assign=True)
    mean, std = _HALF if resize == "legacy_pytorch" else _GRAY_128
    return Network(
        module=module,
        size=299,
        resize=resize,
        mean=mean,
        std=std,
        eight_bits=True,
        weights_sha256=file_sha256(path),
    )


def _places() -> list[Path]:
    """Where a file may be, the likeliest first."""
    own = os.environ.get(VARIABLE)
    folders = [Path(own).expanduser()] if own else []
    folders += [Path(torch.hub.get_dir()) / "checkpoints", CLEAN_FID]
    found = [folder / name for folder in folders for name in SHA256]
    nvidia = Path(os.environ.get("DNNLIB_CACHE_DIR", Path.home() / ".cache" / "dnnlib")) / "downloads"
    return [*found, *sorted(nvidia.glob(f"*_{SCRIPT}"))]
