"""What the network is asked for: a target F* linear in data and noise, and how epsilon follows from its answer F.

    x_t = a x_0 + s eps        F* = p x_0 + q eps        eps_hat = (a F - p x_t) / (a q - p s)

    epsilon   F* = eps                                          Ho, Jain, Abbeel 2020
    x0        F* = x_0
    v         F* = a eps - s x_0                                Salimans & Ho 2022, appendix D
    flow      F* = eps - x_0, the velocity dx_u / du            Lipman et al. 2023; Liu et al. 2023
    edm       F* = (x_0 - c_skip x_t) / c_out                   Karras et al. 2022, Eq. 8

All else in the package speaks of epsilon: a network of any target becomes a denoiser that answers with it, and losses,
scores and samplers never know. EDM's network sees c_in x_t and is told log(sigma) / 4 (its Table 1), a flow's is told
T u (as diffusers does); others see x_t and are told t.

Letters: B images in a batch, T diffusion times.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from diffmem.config.diffusion import DiffusionConfig, EDMDiffusion, FlowDiffusion
from diffmem.diffusion.process import Denoiser, Process, edm_sigmas, flow_times, over

# (a [T], s [T], deviation of the data) -> (p, q), each [T]
Parts = Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]


def _edm(signal: Tensor, sigma: Tensor, data: float) -> tuple[Tensor, Tensor]:
    spread = (data**2 + sigma.square()).sqrt()  # c_skip = data^2 / spread^2, c_out = sigma data / spread
    return sigma / (data * spread), -data / spread


TARGETS: dict[str, Parts] = {
    "epsilon": lambda a, s, _: (torch.zeros_like(a), torch.ones_like(s)),
    "x0": lambda a, s, _: (torch.ones_like(a), torch.zeros_like(s)),
    "v": lambda a, s, _: (-s, a),
    "flow": lambda a, s, _: (-torch.ones_like(a), torch.ones_like(s)),
    "edm": _edm,
}


@dataclass(frozen=True, eq=False)
class Target:
    """The tables of one target along one path, each float32 [T].

    `of_data` and `of_noise` are p and q; `skip` and `out` give epsilon as skip x_t + out F. `shrink` multiplies x_t
    before the network sees it, which is told `times`; None stands for x_t and t as they are.
    """

    of_data: Tensor
    of_noise: Tensor
    skip: Tensor
    out: Tensor
    shrink: Tensor | None = None
    times: Tensor | None = None
    is_noise: bool = False  # epsilon itself

    @classmethod
    def of(cls, config: DiffusionConfig, process: Process) -> Self:
        """What a network is asked for along the path of `config`, which is `process`, on its device."""
        told: dict[str, Tensor] = {}
        data = 1.0
        if isinstance(config, FlowDiffusion):
            told = {"times": config.T * flow_times(config)}
        elif isinstance(config, EDMDiffusion):
            sigma, data = edm_sigmas(config), config.sigma_data
            told = {"times": sigma.log() / 4, "shrink": (data**2 + sigma.square()).rsqrt()}
        return cls.along(process, config.asks_for, data=data, told=told)

    @classmethod
    def along(cls, process: Process, name: str, *, data: float = 1.0, told: Mapping[str, Tensor] | None = None) -> Self:
        """The target `name` of TARGETS on any path, for data of deviation `data`; `told` as the fields."""
        signal, sigma = process.exact()
        of_data, of_noise = TARGETS[name](signal, sigma, data)
        determinant = signal * of_noise - sigma * of_data
        tables = {"of_data": of_data, "of_noise": of_noise, "skip": -of_data / determinant, "out": signal / determinant}
        placed = {key: table.float().to(process.alpha_bar.device) for key, table in {**tables, **(told or {})}.items()}
        return cls(**placed, is_noise=name == "epsilon")

    def turn(self, x0: Tensor, eps: Tensor, x_t: Tensor, t: Tensor) -> None:
        """Noise `eps` into F*, and points `x_t` into what the network sees, in place; all are [B, ...]."""
        if not self.is_noise:
            eps.mul_(over(self.of_noise[t], eps)).addcmul_(over(self.of_data[t], x0), x0)
        if self.shrink is not None:
            x_t.mul_(over(self.shrink[t], x_t))

    def told(self, t: Tensor) -> Tensor:
        """What the network is told of times `t` [B]."""
        return t if self.times is None else self.times[t]

    def denoiser(self, network: Denoiser) -> Denoiser:
        """`network`, which answers with F, as one that answers with epsilon, whatever else it is told."""
        if self.is_noise:
            return network

        def epsilon(x: Tensor, t: Tensor, *labels: Tensor) -> Tensor:
            seen = x if self.shrink is None else x * over(self.shrink[t], x)
            answer: Tensor = network(seen, self.told(t), *labels)
            return over(self.skip[t], x) * x + over(self.out[t], x) * answer.to(x.dtype)

        return epsilon
