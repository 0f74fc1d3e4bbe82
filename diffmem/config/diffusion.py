"""The forward process and the samplers, with their options. `Diffusion` and `Sampler` are the tables."""

from dataclasses import dataclass
from typing import ClassVar

from diffmem.config.options import Variant, option
from diffmem.errors import InputError


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig(Variant):
    """The path from data to noise by `T` diffusion times, and what the network predicts of a point on it."""

    tag: ClassVar[str] = "schedule"
    schedule: ClassVar[str]
    variance_preserving: ClassVar[bool] = False
    T: int = option(low=2, high=100_000)

    @property
    def asks_for(self) -> str:
        """What the network predicts, by its name in the table of targets: on most paths there is one."""
        return self.schedule


@dataclass(frozen=True, kw_only=True)
class PreservingDiffusion(DiffusionConfig):
    """A variance-preserving path."""

    variance_preserving: ClassVar[bool] = True
    predict: str = option(choices=("epsilon", "x0", "v"), default="epsilon")

    @property
    def asks_for(self) -> str:
        return self.predict


@dataclass(frozen=True, kw_only=True)
class LinearDiffusion(PreservingDiffusion):
    """beta rises linearly with t."""

    schedule: ClassVar[str] = "linear"
    beta_first: float = option(low=1e-9, high=0.999)  # beta at t = 0
    beta_last: float = option(low=1e-9, high=0.999)  # beta at t = T - 1

    def __post_init__(self) -> None:
        if self.beta_first > self.beta_last:
            raise InputError(
                f"diffusion.beta_first={self.beta_first} is more than diffusion.beta_last={self.beta_last}, and noise "
                "grows with time: swap them."
            )


@dataclass(frozen=True, kw_only=True)
class CosineDiffusion(PreservingDiffusion):
    """alpha_bar falls like a squared cosine."""

    schedule: ClassVar[str] = "cosine"


@dataclass(frozen=True, kw_only=True)
class FlowDiffusion(DiffusionConfig):
    """The straight line from data to noise, whose velocity the network predicts."""

    schedule: ClassVar[str] = "flow"


@dataclass(frozen=True, kw_only=True)
class EDMDiffusion(DiffusionConfig):
    """Noise of growing deviation is added; the network is preconditioned, and trained at log-normal noise."""

    schedule: ClassVar[str] = "edm"
    sigma_min: float = option(above=0, high=1e3)  # deviations of the noise, in model space
    sigma_max: float = option(above=0, high=1e4)
    rho: float = option(low=1, high=100)  # T values of sigma are evenly spaced in sigma^(1 / rho)
    sigma_data: float = option(above=0, high=1e3)  # deviation of the data in model space
    P_mean: float = option(low=-20, high=20)  # of log sigma in training
    P_std: float = option(above=0, high=20)

    def __post_init__(self) -> None:
        if self.sigma_min >= self.sigma_max:
            raise InputError(
                f"diffusion.sigma_min={self.sigma_min} is not below diffusion.sigma_max={self.sigma_max}: give a "
                "smaller one."
            )


@dataclass(frozen=True, kw_only=True)
class SamplerConfig(Variant):
    """How images are drawn: `calls` network evaluations from pure noise.

    A network that takes labels predicts epsilon(no label) + guidance x (epsilon(label) - epsilon(no label)) (Ho and
    Salimans 2022, whose w is guidance - 1): 1 is the network as it is, 0 leaves the label out.
    """

    name: ClassVar[str]
    preserving_only: ClassVar[bool] = False  # whether its step is one along a variance-preserving path
    calls: int = option(low=1, high=100_000)
    guidance: float = option(low=0, high=1000, default=1.0)

    @property
    def passes(self) -> int:
        """Images that go through the network for one sample."""
        return self.calls * (1 if self.guidance in (0.0, 1.0) else 2)

    @property
    def steps(self) -> int:
        """Steps from noise to a sample."""
        return self.calls

    def check(self, diffusion: DiffusionConfig) -> None:
        """Raise InputError where it has no step along the path `diffusion`, or not so many times."""
        if self.preserving_only and not diffusion.variance_preserving:
            raise InputError(
                f"sampler={self.name} steps along a variance-preserving path, and diffusion={diffusion.schedule} is "
                "another: use sampler=ddim or heun."
            )
        if self.steps > diffusion.T:
            raise InputError(f"sampler.calls={self.calls} is more than the diffusion.T={diffusion.T} times there are.")


@dataclass(frozen=True, kw_only=True)
class DDIMSampler(SamplerConfig):
    """Deterministic."""

    name: ClassVar[str] = "ddim"


@dataclass(frozen=True, kw_only=True)
class DDPMSampler(SamplerConfig):
    """Ancestral."""

    name: ClassVar[str] = "ddpm"
    preserving_only: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class ReferenceSampler(SamplerConfig):
    """The study's."""

    name: ClassVar[str] = "reference"
    preserving_only: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class HeunSampler(SamplerConfig):
    """Deterministic, of second order: two calls a step, and one in the last."""

    name: ClassVar[str] = "heun"

    def __post_init__(self) -> None:
        if self.calls % 2 == 0:
            raise InputError(
                f"sampler.calls={self.calls} is even, and Heun's method takes two calls a step but one in the last: "
                f"give {self.calls - 1} or {self.calls + 1}."
            )

    @property
    def steps(self) -> int:
        return (self.calls + 1) // 2


Diffusion = LinearDiffusion | CosineDiffusion | FlowDiffusion | EDMDiffusion
Sampler = DDIMSampler | DDPMSampler | ReferenceSampler | HeunSampler
