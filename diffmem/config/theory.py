"""The settings of `diffmem theory`: a model of the theory, what is drawn of it, and where it goes."""

import math
from dataclasses import dataclass
from typing import Any

from diffmem.arguments import LARGEST
from diffmem.config.data import Data
from diffmem.config.identity import short_hash, stored
from diffmem.config.options import option, to_mapping
from diffmem.errors import InputError

LARGEST_P = 6400  # features of a simulated draw, which take minutes: the study's own number
LARGEST_GIB = 8  # of memory for a simulated draw
ARRAYS = {"gaussian": (6, 3), "sampled": (7, 2)}  # [p, p] and [p, n] numbers that a draw holds at once


@dataclass(frozen=True, kw_only=True)
class TheoryConfig:
    """One model of the random-features theory. d dimensions, p = psi_p d features, n = psi_n d points."""

    data: Data  # where covariance=data
    psi_p: float = option(low=0.01, high=1e4)
    psi_n: float = option(low=0.01, high=1e4)
    t: float = option(low=1e-3, high=10)  # diffusion time of the Ornstein-Uhlenbeck process
    activation: str = option(choices=("tanh", "erf", "sin", "relu"))
    covariance: str = option(choices=("isotropic", "levels", "power_law", "data"))
    eigenvalues: tuple[float, ...] = option(low=0, high=1e9, most=1000)  # levels
    weights: tuple[float, ...] = option(low=0, high=1, most=1000)  # levels
    exponent: float = option(low=0, high=10)  # power_law: eigenvalue k^-exponent
    count: int = option(low=1, high=4096)  # power_law: eigenvalues
    psi_n_grid: tuple[float, ...] = option(low=0.01, high=1e4, most=100)  # timescales
    psi_p_per_n: float = option(low=0.01, high=1e3)  # timescales: psi_p = psi_p_per_n psi_n
    n: tuple[int, ...] = option(low=2, high=10**8, most=100)  # predict: training points
    points: int = option(low=10, high=1000)  # training times of a curve
    family: str | None = option(path=True, default=None)  # overlay: folder of the runs
    at: int | None = option(
        low=0, high=100_000, default=None
    )  # overlay: diffusion time of the losses; null: the middle
    d: int | None = option(low=2, high=10**6, default=None)  # of a simulated draw; null: as large as takes seconds
    draws: int = option(low=0, high=100)  # simulated draws; 0 draws none
    features: str = option(choices=("gaussian", "sampled"))
    seed: int = option(low=0, high=LARGEST, default=0)
    out: str | None = option(path=True, default=None)  # folder; null: one named after the settings, in runs/theory

    def __post_init__(self) -> None:
        for name in ("psi_n_grid", "n", "eigenvalues"):
            if not getattr(self, name):
                raise InputError(f"{name}=[] is empty: give at least one number, such as {name}=[64].")
        if len(self.eigenvalues) != len(self.weights) or abs(sum(self.weights) - 1) > 1e-9:
            raise InputError(
                f"weights={list(self.weights)} must hold one number for each of the {len(self.eigenvalues)} "
                "eigenvalues and sum to 1."
            )

    def to_mapping(self) -> dict[str, Any]:
        """Plain nested dict, the data as a run stores them."""
        return stored(to_mapping(self))

    def folder(self, figure: str) -> str:
        """Where `figure` goes: other settings never overwrite it."""
        of_data = figure in ("predict", "overlay") or self.covariance == "data"
        settings = {name: value for name, value in self.to_mapping().items() if name != "out"}
        for name in ("family", "at"):  # younger than the names of folders
            if settings[name] is None:
                del settings[name]
        name = f"{figure}-{self.data.name if of_data else self.covariance}-{short_hash(settings)}"
        return self.out or f"runs/theory/{name}"

    @property
    def directions(self) -> int | None:
        """d of the data that the covariance describes; None where it describes any d."""
        return {"power_law": self.count, "data": self.data.d}.get(self.covariance)

    @property
    def dimensions(self) -> int:
        """d of a simulated draw: that of the data, where that takes seconds."""
        quick = max(min(400, int(2400 / self.psi_p), int(40_000 / self.psi_n)), 8)
        return self.d or min(quick, self.directions or quick)

    def check_simulation(self) -> None:
        """Raises InputError where a simulated draw would take minutes, or more memory than LARGEST_GIB."""
        d = self.dimensions
        p, n = self.psi_p * d, self.psi_n * d
        squares, long = ARRAYS[self.features]
        gib = 8 * p * (squares * p + long * n) / 2**30
        if not self.draws or (p <= LARGEST_P and gib <= LARGEST_GIB):
            return
        most = int(min(LARGEST_P / self.psi_p, d * math.sqrt(LARGEST_GIB / gib)))
        fix = f"use d={most} or less" if most >= 2 else "use smaller ratios"
        raise InputError(
            f"d={d} with psi_p={self.psi_p:g} and psi_n={self.psi_n:g} simulates {p:.0f} features and {n:.0f} points, "
            f"which takes about {gib:.3g} GiB. At most {LARGEST_P} features and {LARGEST_GIB} GiB are taken: "
            f"{fix}, or draws=0."
        )
