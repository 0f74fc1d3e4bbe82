"""Runs and targets for the tests of comparisons."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffmem.compare.targets.base import ImageSets, Target
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers.tiny import tiny


def trained(out: Path, **groups: Any) -> Path:
    """The directory of a tiny run, trained."""
    planned = plan(tiny(out, **groups))
    assert execute(planned).exit_code == 0
    return planned.run.path


def digits64(out: Path) -> Path:
    """A run on 64 digits whose process and sampler are of usual length, trained for one step."""
    return trained(
        out,
        data={"n": 64},
        diffusion={"T": 1000},
        sampler={"calls": 20},
        train={"steps": 1},
        grid={"first": 1},
        eval={"t": [20]},
    )


def gaussians(out: Path) -> Path:
    """A run on 64 points of the mixture, trained for one step."""
    data = {"name": "mixture", "n": 64, "dim": 8, "mu": 1.0, "sigma": 1.0, "scale": 1.0, "size": None, "channels": None}
    return trained(
        out,
        data=data,
        model={"name": "resmlp", "multipliers": [], "attention": [], "mid_attention": True, "groups": 8},
        diffusion={"T": 1000},
        sampler={"calls": 50},
        train={"steps": 1},
        grid={"first": 1},
        eval={"t": [20]},
    )


def noise_images(count: int, seed: int, size: int = 4) -> Tensor:
    """Uniform pixels [count, 1, size, size] in [0, 1]."""
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(seed))


def samples_target(label: str, samples: Tensor, train: Tensor, heldout: Tensor | None = None) -> Target:
    """Samples made elsewhere, of a model trained on `train`."""
    return Target(label=label, kind="samples", images=ImageSets("set", train, heldout), group=label, samples=samples)


def tiny_unet(**changed: Any) -> Any:
    from diffusers import UNet2DModel

    torch.manual_seed(1)
    options: dict[str, Any] = {
        "sample_size": 8,
        "in_channels": 3,
        "out_channels": 3,
        "block_out_channels": (4,),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",),
        "norm_num_groups": 2,
        "add_attention": False,
        "dropout": 0.5,
    }
    return UNet2DModel(**options | changed)
