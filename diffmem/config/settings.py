"""The settings of one run: dataclasses with units and bounds, their validation, and the run's identity.

A `Config` is built from the nested mapping that Hydra composes (`Config.from_mapping`). Every field carries
its allowed range in its metadata; `from_mapping` checks types and ranges, `Config.__post_init__` what needs
two fields. The identity of a run is the hash of what decides its training trajectory (`trajectory`): the same
settings find the same directory again, and more steps, other evaluation or another device continue it.
"""

import dataclasses
import hashlib
import json
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from diffmem.config.options import build, option
from diffmem.definitions import K
from diffmem.errors import InputError

DATA_NAMES = ("digits", "fashion_mnist", "image_folder", "celeba", "mixture")
MODEL_NAMES = ("unet", "unet_reference", "resmlp")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images: subset `index` of `n` images of a data set in its fixed order, times `scale`."""

    name: str = option(choices=DATA_NAMES)
    n: int = option(low=2)
    index: int = option(low=0, default=0)
    scale: float = option(above=0, default=1.0)
    root: str | None = None  # folder or file that holds the data, where the set does not ship with a package
    size: int | None = option(low=2, default=None)  # pixels a side
    channels: int | None = option(choices=(1, 3), default=None)
    dim: int | None = option(low=1, default=None)  # mixture: dimension d
    mu: float | None = option(above=0, default=None)  # mixture: the two means are +mu and -mu in every coordinate
    sigma: float | None = option(above=0, default=None)  # mixture: standard deviation of each component

    def __post_init__(self) -> None:
        if self.name == "mixture" and self.n % 2:
            raise InputError(
                f"data.n={self.n} is odd, and the mixture draws n/2 points from each of its two components: "
                f"use an even number such as data.n={self.n + 1}."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image, (C, H, W), or (d,) for the mixture."""
        if self.dim is not None:
            return (self.dim,)
        assert self.size is not None
        assert self.channels is not None
        return (self.channels, self.size, self.size)

    @property
    def d(self) -> int:
        """Data dimension."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which network. `width` is W, the base channels; level l of a U-Net has `width * multipliers[l]` channels."""

    name: str = option(choices=MODEL_NAMES)
    width: int = option(low=1)
    blocks: int = option(low=1)  # residual blocks a level (U-Nets), or in all (resmlp)
    multipliers: tuple[int, ...] = option(low=1, default=())
    attention: tuple[int, ...] = option(low=1, default=())  # levels with attention, counted from 1
    mid_attention: bool = True  # attention in the bottleneck
    heads: int = option(low=1, default=4)  # attention heads at the deepest level
    groups: int = option(low=1, default=8)  # of GroupNorm
    dropout: float = option(low=0, high=0.99, default=0.0)

    def __post_init__(self) -> None:
        if self.name == "resmlp":
            return
        if not self.multipliers:
            raise InputError("model.multipliers=[] names no level: give one factor a level, such as [1,2,4].")
        for level in self.attention:
            if level > len(self.multipliers):
                raise InputError(
                    f"model.attention names level {level}, and the U-Net has {len(self.multipliers)} levels "
                    "(one for each of model.multipliers): name levels from 1 to that."
                )
        for multiplier in self.multipliers:
            channels = self.width * multiplier
            if channels % self.groups:
                raise InputError(
                    f"model.width={self.width} gives a level of {channels} channels, which model.groups="
                    f"{self.groups} does not divide: use a width that is a multiple of {self.groups}, or other groups."
                )
        deepest = self.width * self.multipliers[-1]
        if (self.attention or self.mid_attention) and deepest % self.heads:
            raise InputError(
                f"model.heads={self.heads} does not divide the {deepest} channels of the deepest level: "
                "use a divisor of it."
            )


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """The forward process: `T` diffusion times and their noise schedule."""

    schedule: str = option(choices=("linear", "cosine"))
    T: int = option(low=2)
    beta_first: float = option(above=0, high=0.999, default=1e-4)  # linear: beta at t = 0
    beta_last: float = option(above=0, high=0.999, default=2e-2)  # linear: beta at t = T - 1


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How the weights move. `momentum` is SGD's; `beta1` and `beta2` are Adam's."""

    name: str = option(choices=("sgd", "adam", "adamw"))
    lr: float = option(above=0)
    momentum: float = option(low=0, high=0.9999, default=0.0)
    beta1: float = option(low=0, high=0.9999, default=0.9)
    beta2: float = option(low=0, high=0.99999, default=0.999)
    weight_decay: float = option(low=0, default=0.0)
    clip: float | None = option(above=0, default=None)  # largest gradient norm; null clips nothing


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The loop. `batch` is cut to n; `batch=full` is full-batch training."""

    steps: int = option(low=1)  # optimizer steps
    batch: int | str = option(low=1)
    precision: str = option(choices=("fp32", "bf16"), default="fp32")
    t: int | None = option(low=1, default=None)  # one fixed diffusion time; null draws t uniformly on 1..T-1
    ema: float | None = option(above=0, high=0.999999, default=None)  # decay per step of the averaged weights
    channels_last: bool = False
    save_seconds: float = option(above=0, default=60.0)

    def __post_init__(self) -> None:
        if isinstance(self.batch, str) and self.batch != "full":
            raise InputError(f"train.batch={self.batch!r} is neither a number of images >= 1 nor the word full.")


@dataclass(frozen=True, kw_only=True)
class GridConfig:
    """Steps with a checkpoint: round(first * 10^(j / per_decade)), or the study's own integers."""

    kind: str = option(choices=("log", "reference"), default="log")
    per_decade: int = option(low=1, default=8)
    first: int = option(low=1, default=50)


@dataclass(frozen=True, kw_only=True)
class StopConfig:
    """End a run `after` checkpoints past the first whose f_mem is above `f_mem`; null trains to the last step."""

    f_mem: float | None = option(low=0, high=1, default=None)
    after: int = option(low=0, default=2)


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How images are drawn: `calls` network evaluations from pure noise."""

    name: str = option(choices=("ddim", "ddpm", "reference"))
    calls: int = option(low=1)


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """What is measured at a checkpoint."""

    samples: int = option(low=2)  # generated images
    test_images: int = option(low=2)  # held-out images used for losses (as many training images at most)
    keep_samples: int = option(low=0, default=1000)  # generated images written to disk
    weights: str = option(choices=("raw", "ema"), default="raw")
    t: tuple[int, ...] = option(low=0)  # diffusion times of the losses
    k: float = option(above=0, high=1, default=K)  # a sample is memorized when d1/d2 < k
    quality: str = "auto"  # feature extractor of the Frechet distance
    bootstrap: int = option(low=0, default=1000)  # resamples over the samples
    tile: int = option(low=1, default=512)  # images in one network call


@dataclass(frozen=True, kw_only=True)
class ExecutorConfig:
    """Where a sweep's runs go."""

    name: str = option(choices=("here", "pool"))
    workers: int | None = option(low=1, default=None)  # null: as many as cores (one on a GPU)
    retries: int = option(low=0, default=1)  # times a run whose worker died is started again


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of one run."""

    data: DataConfig
    model: ModelConfig
    diffusion: DiffusionConfig
    optimizer: OptimizerConfig
    train: TrainConfig
    grid: GridConfig
    stop: StopConfig
    sampler: SamplerConfig
    eval: EvalConfig
    executor: ExecutorConfig
    seed: int = option(low=0, default=0)
    device: str = "auto"  # auto, cpu, mps, cuda, cuda:1, ...
    threads: int | None = option(low=1, default=None)  # CPU threads of a run; null: all (train), one (pool)
    experiment: str | None = None
    out: str | None = None  # folder of the run directories; null: runs/<experiment>, or runs/train

    def __post_init__(self) -> None:
        flat = len(self.data.shape) == 1
        if flat != (self.model.name == "resmlp"):
            fix = "model=resmlp" if flat else "model=unet"
            raise InputError(
                f"model={self.model.name} does not fit data={self.data.name} (one datum has shape "
                f"{self.data.shape}): use {fix}."
            )
        levels = len(self.model.multipliers)
        if not flat and self.data.shape[-1] % 2 ** (levels - 1):
            raise InputError(
                f"model.multipliers has {levels} levels, which halve the image {levels - 1} times, and data.size="
                f"{self.data.shape[-1]} is no multiple of {2 ** (levels - 1)}: use fewer levels or another size."
            )
        last = self.diffusion.T - 1
        for name, values in (("train.t", (self.train.t,)), ("eval.t", self.eval.t)):
            for value in values:
                if value is not None and value > last:
                    raise InputError(f"{name}={value} is past the last diffusion time {last} (diffusion.T - 1).")
        if self.sampler.calls > self.diffusion.T:
            raise InputError(
                f"sampler.calls={self.sampler.calls} is more than the diffusion.T={self.diffusion.T} times there are."
            )
        if self.sampler.name != "reference" and self.diffusion.T % self.sampler.calls:
            divisors = (calls for calls in range(self.sampler.calls, 0, -1) if self.diffusion.T % calls == 0)
            raise InputError(
                f"sampler.calls={self.sampler.calls} does not divide diffusion.T={self.diffusion.T}, so its times are "
                f"not evenly spaced: use sampler.calls={next(divisors)}."
            )
        if self.eval.weights == "ema" and self.train.ema is None:
            raise InputError("eval.weights=ema needs averaged weights: set train.ema, such as train.ema=0.999.")
        if self.stop.f_mem is not None and self.train.t is not None:
            raise InputError(
                f"stop.f_mem={self.stop.f_mem} needs samples, and a model trained at one fixed train.t={self.train.t} "
                "cannot sample: leave stop.f_mem=null."
            )

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Build and validate from a nested mapping. Raises InputError for an unknown, missing or bad value."""
        return build(cls, mapping)

    def to_mapping(self) -> dict[str, Any]:
        """Plain nested dict (tuples as lists), the inverse of `from_mapping`."""
        return typing.cast(dict[str, Any], _plain(dataclasses.asdict(self)))

    @property
    def batch(self) -> int:
        """Images in one training batch: min(B, n), or n where train.batch=full."""
        return self.data.n if isinstance(self.train.batch, str) else min(self.train.batch, self.data.n)

    @property
    def out_folder(self) -> str:
        return self.out or f"runs/{self.experiment or 'train'}"

    @property
    def can_sample(self) -> bool:
        """A model trained at one fixed t knows no other t, so it cannot sample."""
        return self.train.t is None

    def trajectory(self) -> dict[str, Any]:
        """What decides the training trajectory, and so the identity of the run (paths and devices do not)."""
        whole = self.to_mapping()
        del whole["data"]["root"]
        train = whole["train"]
        return {
            **{name: whole[name] for name in ("data", "model", "diffusion", "optimizer", "seed")},
            "train": {name: train[name] for name in ("precision", "t", "ema")} | {"batch": self.batch},
        }

    def evaluation(self) -> dict[str, Any]:
        """What decides a row of metrics, given a checkpoint."""
        whole = self.to_mapping()
        measures = {name: value for name, value in whole["eval"].items() if name not in ("tile", "keep_samples")}
        return {"eval": measures, "sampler": whole["sampler"]}

    def run_id(self, data_sha256: str) -> str:
        """Readable key and short hash: `digits-n64-w16-s0-1a2b3c4d`. The data count by content, not by path."""
        key = f"{self.data.name}-n{self.data.n}-w{self.model.width}-s{self.seed}"
        return f"{key}-{short_hash({**self.trajectory(), 'data_sha256': data_sha256})}"

    def eval_id(self) -> str:
        return short_hash(self.evaluation())

    def checkpoint_steps(self) -> list[int]:
        """The steps with a checkpoint, from 0 to `train.steps`, both included (definitions, section 6)."""
        last = self.train.steps
        if self.grid.kind == "reference":
            steps = {step for step in REFERENCE_GRID if step < last}
        else:
            decades = math.log10(last / self.grid.first) if last > self.grid.first else 0.0
            count = math.ceil(decades * self.grid.per_decade) + 1
            grid = (round(self.grid.first * 10 ** (j / self.grid.per_decade)) for j in range(count))
            steps = {step for step in grid if step < last}
        return sorted(steps | {0, last})


# fmt: off
REFERENCE_GRID = (
    0, 250, 500, 750, 1250, 1750, 2750, 4250, 6500, 10000, 15000, 20000, 25000, 30000, 35000, 40000, 45000,
    50000, 55000, 60000, 65000, 70000, 75000, 80000, 85000, 90000, 95000, 100000, 105000, 110000, 115000, 125000,
    130000, 135000, 145000, 155000, 160000, 170000, 180000, 190000, 200000, 210000, 220000, 230000, 245000,
    260000, 270000, 285000, 300000, 320000, 335000, 355000, 370000, 390000, 410000, 435000, 460000, 480000,
    510000, 535000, 565000, 595000, 625000, 660000, 695000, 730000, 770000, 810000, 855000, 900000, 945000,
    1000000, 1290000, 1665000, 2150000, 2780000, 3590000, 4640000, 5990000, 7740000, 10000000,
)  # Bonnaire et al. 2025, the study's own checkpoints
# fmt: on


def short_hash(value: object) -> str:
    """Eight hex digits of the canonical JSON of `value`."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
