"""The two exact bookends of every f_mem: targets that no training made.

`empirical`     the exact denoiser of the training images: samples are copies, f_mem is close to 1
`population`    the exact score of the Gaussian mixture: samples are fresh, f_mem is the null
"""

from collections.abc import Callable

import torch
from torch import Tensor

from diffmem.compare.targets.base import Model, Target
from diffmem.compare.targets.run import run_model, sampler_words
from diffmem.config.data import MixtureData
from diffmem.config.identity import short_hash
from diffmem.data import mixture
from diffmem.diffusion.empirical import EmpiricalDenoiser
from diffmem.diffusion.process import Denoiser, Process
from diffmem.errors import InputError
from diffmem.runs import Run, load_run

BOOKENDS = ("empirical", "population")


def bookend(kind: str, like: Target) -> Target:
    """The exact target `kind` of BOOKENDS for the training images, process and sampler of the run target `like`.

    Raises InputError where `like` is no checkpoint of a run, and for `population` of anything but a mixture.
    """
    if like.kind != "run":
        raise InputError(f"{kind} takes its images and sampler from a run: name a run before it.")
    run = load_run(like.group)
    config = run.config
    if kind == "population" and not isinstance(config.data, MixtureData):
        raise InputError(
            f"population is known in closed form for data={MixtureData.name} only, and {like.label} has "
            f"data={config.data.name}: leave it out."
        )
    return Target(
        label=f"{kind} ({like.images.name})",
        kind=kind,
        images=like.images,
        group=f"{kind} {like.images.identity}",
        load=_loader(kind, run),
        how=sampler_words(config),
        content=short_hash({name: config.to_mapping()[name] for name in ("data", "diffusion")}),
    )


def _loader(kind: str, run: Run) -> Callable[[torch.device], Model]:
    data = run.config.data

    def loaded(device: torch.device) -> Model:
        process = Process.from_config(run.config.diffusion).to(device)
        if kind == "population" and isinstance(data, MixtureData):
            return run_model(run, _population(data, run.scale, process), device)
        return run_model(run, EmpiricalDenoiser(run.train_images().to(device), process), device)

    return loaded


def _population(data: MixtureData, scale: float, process: Process) -> Denoiser:
    """epsilon = -sqrt(1 - alpha_bar) times the mixture's exact score, in model space."""
    mu, sigma = scale * data.mu, scale * data.sigma

    def epsilon(x: Tensor, t: Tensor) -> Tensor:
        alpha_bar = process.alpha_bar[t].cpu().double()
        score = mixture.score(process.unscaled(x.cpu().double(), t.cpu()), alpha_bar, mu, sigma)
        return (-score * (1 - alpha_bar)[:, None].sqrt()).to(x)

    return epsilon
