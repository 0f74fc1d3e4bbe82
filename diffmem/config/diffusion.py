"""The forward process and the samplers, with their options. `Diffusion` and `Sampler` are the tables."""

from dataclasses import dataclass
from typing import ClassVar

from diffmem.config.options import Variant, option
from diffmem.errors import InputError


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig(Variant):
    """The forward process: `T` diffusion times and their noise schedule."""

    tag: ClassVar[str] = "schedule"
    schedule: ClassVar[str]
    T: int = option(low=2, high=100_000)


@dataclass(frozen=True, kw_only=True)
class LinearDiffusion(DiffusionConfig):
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
class CosineDiffusion(DiffusionConfig):
    """alpha_bar falls like a squared cosine."""

    schedule: ClassVar[str] = "cosine"


@dataclass(frozen=True, kw_only=True)
class SamplerConfig(Variant):
    """How images are drawn: `calls` network evaluations from pure noise.

    A network that takes labels predicts epsilon(no label) + guidance x (epsilon(label) - epsilon(no label)) (Ho and
    Salimans 2022, whose w is guidance - 1): 1 is the network as it is, 0 leaves the label out.
    """

    name: ClassVar[str]
    calls: int = option(low=1, high=100_000)
    guidance: float = option(low=0, high=1000, default=1.0)

    @property
    def passes(self) -> int:
        """Images that go through the network for one sample."""
        return self.calls * (1 if self.guidance in (0.0, 1.0) else 2)

    def check_times(self, T: int) -> None:
        """Raise InputError where `calls` is more than the T diffusion times."""
        if self.calls > T:
            raise InputError(f"sampler.calls={self.calls} is more than the diffusion.T={T} times there are.")


@dataclass(frozen=True, kw_only=True)
class DDIMSampler(SamplerConfig):
    """Deterministic."""

    name: ClassVar[str] = "ddim"


@dataclass(frozen=True, kw_only=True)
class DDPMSampler(SamplerConfig):
    """Ancestral."""

    name: ClassVar[str] = "ddpm"


@dataclass(frozen=True, kw_only=True)
class ReferenceSampler(SamplerConfig):
    """The study's."""

    name: ClassVar[str] = "reference"


Diffusion = LinearDiffusion | CosineDiffusion
Sampler = DDIMSampler | DDPMSampler | ReferenceSampler
