"""The settings of one run: dataclasses with units and bounds, and their validation.

A `Config` is built from the nested mapping that Hydra composes (`Config.from_mapping`). Every field carries
its allowed range in its metadata; `from_mapping` checks types and ranges, `Config.__post_init__` what needs
two groups. No field has a default: defaults stand in the YAML files, where a user reads them, and only there.
The identity of a run is the hash of what decides its training trajectory (`trajectory`): the same
settings find the same directory again, and more steps, other evaluation or another device continue it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from diffmem.arguments import LARGEST, shown
from diffmem.config import identity, labels
from diffmem.config.data import Data, MixtureData
from diffmem.config.decay import decay_of
from diffmem.config.diffusion import Diffusion, PreservingDiffusion, Sampler
from diffmem.config.executor import Executor
from diffmem.config.grid import GridConfig
from diffmem.config.model import MODELS, LabelledConfig, Model, UNetConfig
from diffmem.config.options import Variant, build, option, to_mapping, without_foreign
from diffmem.definitions import null_rate
from diffmem.errors import InputError

MIN_SNR_GAMMA = 5.0
BLOCK = 500  # samples that are drawn at a time with eval.f_mem_width


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Variant):
    """How the weights move."""

    name: ClassVar[str]
    lr: float = option(above=0, high=1e6)
    weight_decay: float = option(low=0, high=1e6)
    clip: float | None = option(above=0, high=1e30)  # largest gradient norm; null clips nothing
    decay: str | None = None  # of lr, from step 0 to none: cosine:STEPS or linear:STEPS

    def __post_init__(self) -> None:
        if self.decay is not None:
            decay_of(self.decay)


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

    steps: int = option(low=1, high=10**10)  # optimizer steps
    batch: int | str = option(low=1, high=10**8)
    precision: str = option(choices=("fp32", "tf32", "bf16"))  # of training; evaluation is in fp32
    t: int | None = option(low=1, high=100_000)  # one fixed diffusion time; null draws t uniformly on 1..T-1
    ema: float | str | None = option(above=0, high=0.999999)  # averaged weights: a decay per step, power or posthoc
    ema_sigma: float | None = option(above=0, high=0.2886)  # width / step of ema=power; 12**-0.5 weighs all alike
    loss_weight: str = option(choices=("uniform", "min_snr"), default="uniform")  # of diffusion times
    min_snr_gamma: float = option(above=0, high=1e6, default=MIN_SNR_GAMMA)  # largest weight of x_0's error
    label_dropout: float = option(low=0, high=0.99, default=0.0)  # share of labels that are left out
    init: str | None = option(path=True, default=None)  # RUN@STEP or a diffusers folder to go on from; null: the seed
    init_weights: str = option(choices=("raw", "ema"), default="raw")  # those of the checkpoint RUN@STEP
    lora_rank: int | None = option(
        low=1, high=4096, default=None
    )  # of the adapters that are trained; null: all weights
    channels_last: bool
    graph: str = option(choices=("auto", "off"), default="auto")  # replay the step as a CUDA graph, where there is CUDA
    compile: bool = False  # the network, by torch.compile
    save_seconds: float = option(above=0, high=1e9)

    def __post_init__(self) -> None:
        if isinstance(self.batch, str) and self.batch != "full":
            raise InputError(f"train.batch='{shown(self.batch)}' is neither a number of images >= 1 nor the word full.")
        if isinstance(self.ema, str) and self.ema not in ("power", "posthoc"):
            raise InputError(
                f"train.ema='{shown(self.ema)}' is neither a decay per step, such as 0.999, nor the word power or "
                "posthoc: use one of them, or null."
            )
        if self.ema == "power" and self.ema_sigma is None:
            raise InputError("train.ema=power needs the width of its average: set train.ema_sigma, such as 0.1.")
        if self.loss_weight != "min_snr" and self.min_snr_gamma != MIN_SNR_GAMMA:
            raise InputError(
                f"train.min_snr_gamma={self.min_snr_gamma} does nothing with train.loss_weight={self.loss_weight}: "
                "leave it out, or set train.loss_weight=min_snr."
            )
        self._check_start()

    def _check_start(self) -> None:
        """Raise InputError for options of a network to go on from that do not go together."""
        if self.init is None and (self.lora_rank is not None or self.init_weights != "raw"):
            option = "init_weights=ema" if self.lora_rank is None else f"lora_rank={self.lora_rank}"
            raise InputError(f"train.{option} needs a network to go on from: set train.init=RUN@STEP, or leave it out.")
        if self.lora_rank is not None and self.ema == "posthoc":
            raise InputError(
                "train.ema=posthoc rebuilds averages of weights, and train.lora_rank trains factors of them: use "
                "train.ema=power, or leave train.lora_rank=null."
            )

    @property
    def gamma(self) -> float | None:
        """Of min-SNR, where the loss is weighted by it."""
        return self.min_snr_gamma if self.loss_weight == "min_snr" else None


@dataclass(frozen=True, kw_only=True)
class StopConfig:
    """End a run `after` checkpoints past the first whose f_mem is above `f_mem`; null trains to the last step."""

    f_mem: float | None = option(low=0, high=1)
    after: int = option(low=0, high=10**6)


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """What is measured at a checkpoint."""

    samples: int = option(low=2, high=10**7)  # generated images, at most
    f_mem_width: float | None = option(
        above=0, high=1, default=None
    )  # half-width of f_mem's interval at which enough are drawn
    quality_samples: int | None = option(
        low=2, high=10**7, default=None
    )  # the first samples, that quality is measured on
    test_images: int = option(
        low=2, high=10**7
    )  # held-out images used for losses, and training images: so many at most
    loss_draws: int = option(
        low=2, high=10**8, default=1024
    )  # images times noises behind one loss, each image at least once
    kl_samples: int | None = option(
        low=2, high=10**7, default=None
    )  # held-out points of the mixture behind KL(true density || model's); null measures none
    keep_samples: int = option(low=0, high=10**7)  # generated images written to disk
    weights: str = option(choices=("raw", "ema", "posthoc"))
    ema_sigma: float | None = option(above=0, high=0.2886, default=None)  # width / step of weights=posthoc
    t: tuple[int, ...] = option(low=0, high=100_000, most=100)  # diffusion times of the losses
    k: float | str = option(above=0, high=1)  # a sample is memorized when d1/d2 < k; null:RATE calibrates k
    quality: str | tuple[str, ...] = option(most=100)  # measures of quality
    bootstrap: int = option(low=0, high=10**6)  # resamples over the samples
    tile: int = option(low=1, high=10**6)  # images in one network call
    features: str | None = option(default=None)  # space of f_mem_features; null measures none
    lipschitz: int = option(low=0, high=10**5, default=0)  # held-out images at which the Jacobian is measured
    background: str | None = option(
        default=None
    )  # device of a second process that makes the rows; null: the run's own process makes them

    def __post_init__(self) -> None:
        try:
            null_rate(self.k)
        except InputError as error:
            raise InputError(f"eval.{error}") from error
        if (self.ema_sigma is None) == (self.weights == "posthoc"):
            raise InputError(
                "eval.weights=posthoc needs the width of its average: set eval.ema_sigma, such as 0.1."
                if self.ema_sigma is None
                else f"eval.ema_sigma={self.ema_sigma:g} is the width of eval.weights=posthoc, and eval.weights="
                f"{self.weights} has none: leave it out, or set eval.weights=posthoc."
            )
        if self.quality_samples is not None and self.quality_samples > self.samples:
            raise InputError(
                f"eval.quality_samples={self.quality_samples} is more than eval.samples={self.samples}, which are all "
                "that are drawn: give fewer, or more eval.samples."
            )

    @property
    def quality_count(self) -> int:
        """Samples that quality is measured on, the same at every checkpoint."""
        if self.quality_samples is not None:
            return self.quality_samples
        return self.samples if self.f_mem_width is None else min(self.samples, BLOCK)


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
    seed: int = option(low=0, high=LARGEST)
    device: str  # auto, cpu, mps, cuda, cuda:1, ...
    heartbeat_seconds: float = option(low=1e-3, high=600)  # between a running process's signs of life
    threads: int | None = option(low=1, high=1024)  # CPU threads; null: one in a pool and for small models, else all
    experiment: str | None
    out: str | None = option(path=True)  # folder of the run directories; null: runs/<experiment>, or runs/train

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
        self.sampler.check(self.diffusion)
        self._check_weights()
        if self.stop.f_mem is not None and self.train.t is not None:
            raise InputError(
                f"stop.f_mem={self.stop.f_mem} needs samples, and a model trained at one fixed train.t={self.train.t} "
                "cannot sample: leave stop.f_mem=null."
            )
        labels.check(self.data, self.model, self.train.label_dropout, self.sampler.guidance)
        if self.eval.kl_samples is not None:
            self._check_density(self.eval.kl_samples)

    def _check_weights(self) -> None:
        """Raise InputError for weights to begin with, to average or to evaluate that do not go together."""
        if self.train.init is not None and self.model.spectral_norm is not None:
            raise InputError(
                f"model.spectral_norm={self.model.spectral_norm} would scale the layers of "
                f"train.init={self.train.init}, so that it is another network from step 0 on: leave one of them null."
            )
        if self.train.ema == "posthoc" and self.model.spectral_norm is not None:
            raise InputError(
                f"model.spectral_norm={self.model.spectral_norm} divides weights by what is no average of theirs, and "
                "train.ema=posthoc adds averages of weights: use train.ema=power, or leave model.spectral_norm=null."
            )
        if self.eval.weights == "posthoc" and self.train.ema != "posthoc":
            raise InputError("eval.weights=posthoc needs the averages that train.ema=posthoc stores: train with it.")
        if self.eval.weights == "ema" and self.train.ema in (None, "posthoc"):
            raise InputError(
                "eval.weights=ema needs averaged weights: set train.ema=power, or a decay such as train.ema=0.999."
                if self.train.ema is None
                else "eval.weights=ema is of one average, and train.ema=posthoc stores two: use eval.weights=posthoc "
                "eval.ema_sigma=0.1."
            )

    def _check_density(self, points: int) -> None:
        """Raise InputError where the model has no density, or the data have none to compare it with."""
        if not isinstance(self.data, MixtureData):
            why = f"needs data whose density is known, which data={self.data.name} is not: use data=mixture"
        elif self.train.t is not None:
            why = f"needs a model of all diffusion times, and train.t={self.train.t} fixes one: train with train.t=null"
        elif not isinstance(self.diffusion, PreservingDiffusion) or self.diffusion.predict != "epsilon":
            why = (
                "needs a network that predicts epsilon on a variance-preserving path, asked between its times: use one"
            )
        elif self.sampler.guidance not in (0, 1):
            why = (
                f"needs a true density, and that of sampler.guidance={self.sampler.guidance:g} is not known: use 0 or 1"
            )
        else:
            return
        raise InputError(f"eval.kl_samples={points} {why}, or leave eval.kl_samples=null.")

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Build and validate from a nested mapping. Raises InputError for an unknown, missing or bad value."""
        config = build(cls, identity.completed(mapping), unused=identity.FORMAT_1)
        return replace(config, model=labels.counted(config.model, config.data))

    @classmethod
    def from_stored(cls, settings: Mapping[str, Any], file: Path | None = None) -> Self:
        """The settings in a run's config.yaml. What it says of options that its variants do not have is left out.

        An InputError names the `file` they come from, where it is given.
        """
        try:
            return cls.from_mapping(without_foreign(cls, settings))
        except InputError as error:
            raise InputError(f"{file}: {error}" if file else str(error)) from error

    def to_mapping(self) -> dict[str, Any]:
        """The settings as they are stored: a plain nested dict, the inverse of `from_mapping`."""
        return identity.stored(to_mapping(self))

    @property
    def batch(self) -> int:
        """Images in one training batch: min(B, n), or n where train.batch=full."""
        return self.data.n if isinstance(self.train.batch, str) else min(self.train.batch, self.data.n)

    @property
    def classes(self) -> int | None:
        """Labels that the network knows; None where it takes none."""
        classes = self.model.classes if isinstance(self.model, LabelledConfig) else None
        return classes if isinstance(classes, int) else None

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

    def run_id(self, data_sha256: str, init_sha256: str | None = None) -> str:
        """The name of the run's directory, on data and from weights of these checksums."""
        return identity.run_id(self.trajectory(), data_sha256, init_sha256)

    def eval_id(self) -> str:
        return identity.short_hash(self.evaluation())

    def checkpoint_steps(self) -> list[int]:
        """The steps with a checkpoint, from 0 to `train.steps`, both included."""
        return self.grid.steps(self.train.steps)
