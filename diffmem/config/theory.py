"""The settings of `diffmem theory`: a model of the theory, what is drawn of it, and where it goes."""

from dataclasses import dataclass
from typing import Any

from diffmem.config.data import Data
from diffmem.config.identity import stored
from diffmem.config.options import option, to_mapping
from diffmem.errors import InputError

LARGEST_P = 4000  # features of a simulated draw: more take minutes


@dataclass(frozen=True, kw_only=True)
class TheoryConfig:
    """One model of the random-features theory. d dimensions, p = psi_p d features, n = psi_n d points."""

    data: Data  # where covariance=data
    psi_p: float = option(low=0.01, high=1e4)
    psi_n: float = option(low=0.01, high=1e4)
    t: float = option(low=1e-3, high=10)  # diffusion time of the Ornstein-Uhlenbeck process
    activation: str = option(choices=("tanh", "erf", "sin", "relu"))
    covariance: str = option(choices=("isotropic", "levels", "power_law", "data"))
    eigenvalues: tuple[float, ...] = option(low=0)  # levels
    weights: tuple[float, ...] = option(low=0, high=1)  # levels
    exponent: float = option(low=0, high=10)  # power_law: eigenvalue k^-exponent
    count: int = option(low=1, high=4096)  # power_law: eigenvalues
    psi_n_grid: tuple[float, ...] = option(low=0.01, high=1e4)  # timescales
    psi_p_per_n: float = option(low=0.01, high=1e3)  # timescales: psi_p = psi_p_per_n psi_n
    n: tuple[int, ...] = option(low=2)  # predict: training points
    points: int = option(low=10, high=1000)  # training times of a curve
    d: int | None = option(low=2, default=None)  # of a simulated draw; null: as large as takes seconds
    draws: int = option(low=0, high=100)  # simulated draws; 0 draws none
    features: str = option(choices=("gaussian", "sampled"))
    seed: int = option(low=0, default=0)
    out: str | None = None  # folder; null: runs/theory

    def __post_init__(self) -> None:
        for name in ("psi_n_grid", "n", "eigenvalues"):
            if not getattr(self, name):
                raise InputError(f"{name}=[] is empty: give at least one number, such as {name}=[64].")
        if len(self.eigenvalues) != len(self.weights) or abs(sum(self.weights) - 1) > 1e-9:
            raise InputError(
                f"weights={list(self.weights)} must hold one number for each of the {len(self.eigenvalues)} "
                "eigenvalues and sum to 1."
            )
        if self.d is not None and self.draws and self.psi_p * self.d > LARGEST_P:
            raise InputError(
                f"d={self.d} with psi_p={self.psi_p:g} simulates {self.psi_p * self.d:.0f} features, and more than "
                f"{LARGEST_P} take minutes: use d={max(int(LARGEST_P / self.psi_p), 2)} or less, or draws=0."
            )

    def to_mapping(self) -> dict[str, Any]:
        """Plain nested dict, the data as a run stores them."""
        return stored(to_mapping(self))

    @property
    def dimensions(self) -> int:
        """d of a simulated draw."""
        return self.d or max(min(400, int(2400 / self.psi_p), int(40_000 / self.psi_n)), 8)
