"""The checkpoints of a run as targets, drawn with the run's own sampler.

A run's `@best` is its best quality before memorization: of the rows before the first whose f_mem has a Wilson lower
bound above the null's upper bound (all rows, where there is none such), the one with the lowest distance.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from diffmem.compare.targets.base import ImageSets, Model, Space, Target
from diffmem.compare.targets.checkpoints import pick_steps
from diffmem.config.settings import Config
from diffmem.data import split, trained_on
from diffmem.definitions import THRESHOLD, onset, quality_column
from diffmem.diffusion.process import Denoiser, Process
from diffmem.diffusion.sampler import sample
from diffmem.errors import InputError
from diffmem.files import read_bytes, sha256
from diffmem.models import parameters
from diffmem.runs import Run, load_run
from diffmem.store import RunDir


def run_targets(path: Path, which: str) -> list[Target]:
    """The checkpoints of the run in `path` that `which` picks: a step, `last`, `best` or `all`.

    Raises InputError for a step without a checkpoint, a run without checkpoints, a model that cannot sample, and
    data that are no longer what the run was trained on.
    """
    run = load_run(path)
    if not run.config.can_sample:
        raise InputError(f"{path} was trained at one fixed train.t={run.config.train.t} and cannot sample.")
    steps = pick_steps(path, which, run.steps, lambda: _best(run))
    images, rows = run_images(run), {row["step"]: row for row in RunDir(path).primary.read_rows()}
    return [
        Target(
            label=f"{path.name}@{step}",
            kind="run",
            images=images,
            group=str(path),
            step=step,
            load=_loader(run, step),
            how=sampler_words(run.config),
            row={**rows.get(step, {}), "k": rows.get(step, {}).get(THRESHOLD, run.config.eval.k)},
            parameters=parameters(run.config.model, run.config.data.shape),
            notes=told_notes(run.config),
            content=sha256(read_bytes(RunDir(path).checkpoint_path(step) / "diffmem.json"))[:8],
        )
        for step in steps
    ]


def run_images(run: Run) -> ImageSets:
    """The training and held-out images of a run, in pixels."""
    config = run.config
    dataset = trained_on(config.data, run.data_sha256, run.path)
    first = config.data.index * config.data.n
    return ImageSets(
        f"{config.data.name} n={config.data.n} index={config.data.index}",
        dataset.read(first, first + config.data.n),
        dataset.read(dataset.count - dataset.test_count, dataset.count),
        flips=config.data.flips,
    )


def best_step(rows: pd.DataFrame) -> int | None:
    """The step of best quality before memorization, as this module defines it; None where the rows have none."""
    quality = quality_column(rows)
    if quality is None or "f_mem_low" not in rows:
        return None
    memorizes = onset(rows["f_mem_low"], rows["f_mem_null_high"]).to_numpy()
    before = rows[: int(memorizes.argmax())] if memorizes.any() else rows
    return int(before["step"].iloc[int(before[quality].argmin())]) if len(before) else None


def sampler_words(config: Config) -> str:
    """How a run's samples are drawn."""
    width = "" if config.eval.ema_sigma is None else f" {config.eval.ema_sigma:g}"
    words = f"{config.sampler.name}, {config.sampler.calls} calls, {config.eval.weights}{width} weights"
    if config.classes is None:
        return words
    return f"{words}, labels {str(config.data.labels).lower()}, guidance {config.sampler.guidance:g}"


def told_notes(config: Config) -> list[str]:
    """What is said of a network that takes labels."""
    if config.classes is None or not config.train.label_dropout:
        return []
    return ["PSNR gap and distance to the empirical score are of the network without labels."]


def run_model(run: Run, denoiser: Denoiser, device: torch.device, *, told: bool = False) -> Model:
    """`denoiser` with the process, the space and the sampler of `run`; `told` the labels of its samples, if so."""
    config, parts = run.config, split(trained_on(run.config.data, run.data_sha256, run.path), run.config.data)

    def draw(noise: Tensor) -> Tensor:
        labels = run.labels(len(noise)) if told else None
        return sample(
            denoiser,
            noise,
            diffusion=config.diffusion,
            sampler=config.sampler,
            tile=config.eval.tile,
            labels=labels,
        )

    process, space = Process.from_config(config.diffusion).to(device), Space(parts.mean, parts.scale)
    # a network that was always told a label is no denoiser without one
    alone = not told or config.classes is None or config.train.label_dropout > 0
    return Model(denoiser if alone else None, process, space, draw)


def _best(run: Run) -> int:
    rows = run.metrics()
    step = best_step(rows[rows["step"].isin(run.steps)].reset_index(drop=True))
    if step is None:
        raise InputError(f"{run.path}@best: no row with a quality before memorization; name a step instead.")
    return step


def _loader(run: Run, step: int) -> Callable[[torch.device], Model]:
    def loaded(device: torch.device) -> Model:
        chosen = run.config.eval
        denoiser = run.denoiser(step, chosen.weights, device, ema_sigma=chosen.ema_sigma)
        return run_model(run, denoiser, device, told=True)

    return loaded
