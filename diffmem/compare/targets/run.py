"""Targets of our own making: a run's checkpoints, and the two exact bookends of every f_mem.

`empirical`     the exact denoiser of the training images: samples are copies, f_mem is close to 1
`population`    the exact score of the Gaussian mixture: samples are fresh, f_mem is the null

A run's `@best` is its best quality before memorization: of the rows before the first whose f_mem has a Wilson lower
bound above the null's upper bound (all rows, where there is none such), the one with the lowest Frechet distance.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from diffmem.compare.targets.base import Images, Model, Space, Target
from diffmem.config.data import MixtureData
from diffmem.config.settings import Config
from diffmem.data import load, mixture, split
from diffmem.definitions import onset, quality_column
from diffmem.diffusion.empirical import EmpiricalDenoiser
from diffmem.diffusion.process import Denoiser, Process
from diffmem.diffusion.sampler import sample
from diffmem.errors import InputError
from diffmem.files import sha256
from diffmem.runs import Run, load_run
from diffmem.store import RunDir

BOOKENDS = ("empirical", "population")


def run_targets(path: Path, which: str) -> list[Target]:
    """The checkpoints of the run in `path` that `which` picks: a step, `last`, `best` or `all`.

    Raises InputError for a step without a checkpoint, a run without checkpoints, a model that cannot sample, and
    data that are no longer what the run was trained on.
    """
    run = load_run(path)
    if not run.config.can_sample:
        raise InputError(f"{path} was trained at one fixed train.t={run.config.train.t} and cannot sample.")
    steps = _pick(run, which)
    images = run_images(run)
    return [
        Target(
            label=f"{path.name}@{step}",
            kind="run",
            images=images,
            group=str(path),
            step=step,
            load=_loader(run, step),
            how=_words(run.config),
            content=sha256((RunDir(path).checkpoint_path(step) / "diffmem.json").read_bytes())[:8],
        )
        for step in steps
    ]


def run_images(run: Run) -> Images:
    """The training and held-out images of a run, in pixels."""
    config = run.config
    dataset = load(config.data)
    trained_on = run.data_sha256
    if trained_on is not None and dataset.sha256 != trained_on:
        raise InputError(
            f"data={config.data.name} is not what {run.path} was trained on (its checksum differs): put the data back."
        )
    first = config.data.index * config.data.n
    return Images(
        f"{config.data.name} n={config.data.n} index={config.data.index}",
        dataset.read(first, first + config.data.n),
        dataset.read(dataset.count - dataset.test_count, dataset.count),
    )


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
        load=_exact_loader(kind, run),
        how=_words(config),
    )


def best_step(rows: pd.DataFrame) -> int | None:
    """The step of best quality before memorization, as this module defines it; None where the rows have none."""
    quality = quality_column(rows)
    if quality is None or "f_mem_low" not in rows:
        return None
    memorizes = onset(rows["f_mem_low"], rows["f_mem_null_high"]).to_numpy()
    before = rows[: int(memorizes.argmax())] if memorizes.any() else rows
    return int(before["step"].iloc[int(before[quality].argmin())]) if len(before) else None


def _pick(run: Run, which: str) -> list[int]:
    if not run.steps:
        raise InputError(f"{run.path} has no checkpoint yet: wait for the run's first one.")
    if which == "all":
        return run.steps
    if which == "last":
        return run.steps[-1:]
    if which == "best":
        rows = run.metrics()
        best = best_step(rows[rows["step"].isin(run.steps)].reset_index(drop=True))
        if best is None:
            raise InputError(f"{run.path}@best: no row with a quality before memorization; name a step instead.")
        return [best]
    if int(which) not in run.steps:
        raise InputError(f"{run.path} has no checkpoint at step {which}: {nearest_saved(int(which), run.steps)}.")
    return [int(which)]


def nearest_saved(step: int, steps: list[int]) -> str:
    """The saved steps around `step` in words."""
    near = sorted(sorted(steps, key=lambda known: abs(known - step))[:3])
    return f"the nearest saved are {', '.join(map(str, near))}"


def _words(config: Config) -> str:
    return f"{config.sampler.name}, {config.sampler.calls} calls, {config.eval.weights} weights"


def _loader(run: Run, step: int) -> Callable[[torch.device], Model]:
    def loaded(device: torch.device) -> Model:
        return _model(run, run.model(step, run.config.eval.weights).to(device), device)

    return loaded


def _exact_loader(kind: str, run: Run) -> Callable[[torch.device], Model]:
    data = run.config.data

    def loaded(device: torch.device) -> Model:
        process = Process.from_config(run.config.diffusion).to(device)
        if kind == "population" and isinstance(data, MixtureData):
            return _model(run, _population(data, process), device)
        return _model(run, EmpiricalDenoiser(run.train_images().to(device), process), device)

    return loaded


def _model(run: Run, denoiser: Denoiser, device: torch.device) -> Model:
    config, parts = run.config, split(load(run.config.data), run.config.data)

    def draw(noise: Tensor) -> Tensor:
        return sample(denoiser, noise, diffusion=config.diffusion, sampler=config.sampler, tile=config.eval.tile)

    return Model(denoiser, Process.from_config(config.diffusion).to(device), Space(parts.mean, parts.scale), draw)


def _population(data: MixtureData, process: Process) -> Denoiser:
    """epsilon = -sqrt(1 - alpha_bar) times the mixture's exact score, in model space."""
    mu, sigma = data.scale * data.mu, data.scale * data.sigma

    def epsilon(x: Tensor, t: Tensor) -> Tensor:
        alpha_bar = process.alpha_bar[t].cpu().double()
        score = mixture.score(x.cpu().double(), alpha_bar, mu, sigma)
        return (-score * (1 - alpha_bar)[:, None].sqrt()).to(x)

    return epsilon
