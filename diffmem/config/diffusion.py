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
    T: int = option(low=2)


@dataclass(frozen=True, kw_only=True)
class LinearDiffusion(DiffusionConfig):
    """beta rises linearly with t."""

    schedule: ClassVar[str] = "linear"
    beta_first: float = option(above=0, high=0.999)  # beta at t = 0
    beta_last: float = option(above=0, high=0.999)  # beta at t = T - 1


@dataclass(frozen=True, kw_only=True)
class CosineDiffusion(DiffusionConfig):
    """alpha_bar falls like a squared cosine."""

    schedule: ClassVar[str] = "cosine"


@dataclass(frozen=True, kw_only=True)
class SamplerConfig(Variant):
    """How images are drawn: `calls` network evaluations from pure noise."""

    name: ClassVar[str]
    calls: int = option(low=1)

    def check_times(self, T: int) -> None:
        """Raise InputError where `calls` is more than the T diffusion times, or does not divide them evenly."""
        self._check_count(T)
        if T % self.calls:
            fits = next(calls for calls in range(self.calls, 0, -1) if T % calls == 0)
            raise InputError(
                f"sampler.calls={self.calls} does not divide diffusion.T={T}, so its times are not evenly spaced: "
                f"use sampler.calls={fits}."
            )

    def _check_count(self, T: int) -> None:
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
    """The study's: its times are rounded, so any number of calls will do."""

    name: ClassVar[str] = "reference"

    def check_times(self, T: int) -> None:
        self._check_count(T)


Diffusion = LinearDiffusion | CosineDiffusion
Sampler = DDIMSampler | DDPMSampler | ReferenceSampler
