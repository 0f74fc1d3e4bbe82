"""The settings of one run: dataclasses with units and bounds, and their validation.

A `Config` is built from the nested mapping that Hydra composes (`Config.from_mapping`). Every field carries
its allowed range in its metadata; `from_mapping` checks types and ranges, `Config.__post_init__` what needs
two groups. No field has a default: defaults stand in the YAML files, where a user reads them, and only there.
The identity of a run is the hash of what decides its training trajectory (`trajectory`): the same
settings find the same directory again, and more steps, other evaluation or another device continue it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from diffmem.config import identity
from diffmem.config.data import Data
from diffmem.config.diffusion import Diffusion, Sampler
from diffmem.config.grid import GridConfig
from diffmem.config.model import MODELS, Model, UNetConfig
from diffmem.config.options import Variant, build, option, to_mapping, without_foreign
from diffmem.errors import InputError


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Variant):
    """How the weights move."""

    name: ClassVar[str]
    lr: float = option(above=0)
    weight_decay: float = option(low=0)
    clip: float | None = option(above=0)  # largest gradient norm; null clips nothing


@dataclass(frozen=True, kw_only=True)
class SGDOptimizer(OptimizerConfig):
    """Stochastic gradient descent with momentum."""

    name: ClassVar[str] = "sgd"
    momentum: float = option(low=0, high=0.9999)


@dataclass(frozen=True, kw_only=True)
class AdamOptimizer(OptimizerConfig):
    """Adam; `weight_decay` is an L2 penalty."""

    name: ClassVar[str] = "adam"
    beta1: float = option(low=0, high=0.9999)
    beta2: float = option(low=0, high=0.99999)


@dataclass(frozen=True, kw_only=True)
class AdamWOptimizer(AdamOptimizer):
    """Adam with decoupled weight decay."""

    name: ClassVar[str] = "adamw"


Optimizer = SGDOptimizer | AdamOptimizer | AdamWOptimizer


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The loop. `batch` is cut to n; `batch=full` is full-batch training."""

    steps: int = option(low=1)  # optimizer steps
    batch: int | str = option(low=1)
    precision: str = option(choices=("fp32", "bf16"))
    t: int | None = option(low=1)  # one fixed diffusion time; null draws t uniformly on 1..T-1
    ema: float | None = option(above=0, high=0.999999)  # decay per step of the averaged weights
    channels_last: bool
    save_seconds: float = option(above=0)

    def __post_init__(self) -> None:
        if isinstance(self.batch, str) and self.batch != "full":
            raise InputError(f"train.batch={self.batch!r} is neither a number of images >= 1 nor the word full.")


@dataclass(frozen=True, kw_only=True)
class StopConfig:
    """End a run `after` checkpoints past the first whose f_mem is above `f_mem`; null trains to the last step."""

    f_mem: float | None = option(low=0, high=1)
    after: int = option(low=0)


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """What is measured at a checkpoint."""

    samples: int = option(low=2)  # generated images
    test_images: int = option(low=2)  # held-out images used for losses (as many training images at most)
    keep_samples: int = option(low=0)  # generated images written to disk
    weights: str = option(choices=("raw", "ema"))
    t: tuple[int, ...] = option(low=0)  # diffusion times of the losses
    k: float = option(above=0, high=1)  # a sample is memorized when d1/d2 < k
    quality: str  # feature extractor of the Frechet distance
    bootstrap: int = option(low=0)  # resamples over the samples
    tile: int = option(low=1)  # images in one network call


@dataclass(frozen=True, kw_only=True)
class ExecutorConfig(Variant):
    """Where a sweep's runs go."""

    name: ClassVar[str]


@dataclass(frozen=True, kw_only=True)
class HereExecutor(ExecutorConfig):
    """A sweep's runs one after another, in its own process."""

    name: ClassVar[str] = "here"


@dataclass(frozen=True, kw_only=True)
class PoolExecutor(ExecutorConfig):
    """A sweep's runs in processes of their own."""

    name: ClassVar[str] = "pool"
    workers: int | None = option(low=1)  # null: as many as cores (one on a GPU)
    retries: int = option(low=0)  # times a run whose worker died is started again


Executor = HereExecutor | PoolExecutor


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of one run."""

    data: Data
    model: Model
    diffusion: Diffusion
    optimizer: Optimizer
    train: TrainConfig
    grid: GridConfig
    stop: StopConfig
    sampler: Sampler
    eval: EvalConfig
    executor: Executor
    seed: int = option(low=0)
    device: str  # auto, cpu, mps, cuda, cuda:1, ...
    threads: int | None = option(low=1)  # CPU threads of a run; null: all (train), one (pool)
    experiment: str | None
    out: str | None  # folder of the run directories; null: runs/<experiment>, or runs/train

    def __post_init__(self) -> None:
        if self.data.flat != self.model.flat:
            fits = next(name for name, model in MODELS.items() if model.flat == self.data.flat)
            raise InputError(
                f"model={self.model.name} does not fit data={self.data.name} (one datum has shape "
                f"{self.data.shape}): use model={fits}."
            )
        if isinstance(self.model, UNetConfig):
            self.model.check_size(self.data.shape[-1])
        last = self.diffusion.T - 1
        for name, values in (("train.t", (self.train.t,)), ("eval.t", self.eval.t)):
            for value in values:
                if value is not None and value > last:
                    raise InputError(f"{name}={value} is past the last diffusion time {last} (diffusion.T - 1).")
        self.sampler.check_times(self.diffusion.T)
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
        return build(cls, mapping, unused=identity.FORMAT_1)

    @classmethod
    def from_stored(cls, settings: Mapping[str, Any]) -> Self:
        """The settings in a run's config.yaml. What it says of options that its variants do not have is left out."""
        return cls.from_mapping(without_foreign(cls, settings))

    def to_mapping(self) -> dict[str, Any]:
        """The settings as they are stored: a plain nested dict, the inverse of `from_mapping`."""
        return identity.stored(to_mapping(self))

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
        """What decides the training trajectory, and so the identity of the run."""
        return identity.trajectory(self.to_mapping(), self.batch)

    def evaluation(self) -> dict[str, Any]:
        """What decides a row of metrics, given a checkpoint."""
        return identity.evaluation(self.to_mapping())

    def run_id(self, data_sha256: str) -> str:
        """The name of the run's directory."""
        return identity.run_id(self.trajectory(), data_sha256)

    def eval_id(self) -> str:
        return identity.short_hash(self.evaluation())

    def checkpoint_steps(self) -> list[int]:
        """The steps with a checkpoint, from 0 to `train.steps`, both included."""
        return self.grid.steps(self.train.steps)
