"""Families whose runs err together in planted ways, and whether what is said of their laws holds."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from diffmem.analysis.laws.bend import REJECTED
from diffmem.analysis.laws.collapse import CollapseRefused, fit_collapse
from diffmem.analysis.laws.family import bends, laws
from diffmem.analysis.laws.groups import factors
from diffmem.analysis.laws.prediction import predict
from diffmem.analysis.laws.scaling import LawRefused
from diffmem.analysis.times.curves import Curve
from tests.helpers.families import planted_share

GRID = np.array(sorted({round(40 * 10 ** (j / 8)) for j in range(31)}))
N_BOOT = 99


@dataclass(frozen=True)
class Case:
    """A kind of family: its runs, and the standard deviations of the effects of n, of the seed and of the run."""

    key: int  # of its random numbers
    name: str
    n: tuple[int, ...]
    seeds: int
    of_n: float = 0.0
    of_seed: float = 0.0
    alone: float = 0.25
    widths: tuple[int, ...] = (16,)
    offset: float = 0.0
    last: float = np.inf  # a run that has not memorized by then is censored

    def law(self, n: object, width: object) -> np.ndarray:
        """τ_mem [...] of runs without scatter."""
        growth = np.asarray(n, dtype=float) * (16 / np.asarray(width, dtype=float))
        return np.asarray(self.offset + 20 * growth)

    @property
    def exponent(self) -> float:
        """The exponent of n that the family's n show on average: 1 unless the law bends."""
        return float(np.polyfit(np.log(self.n), np.log(self.law(self.n, 16)), 1)[0])

    def local(self, n: float) -> float:
        """d log τ / d log n."""
        return float(20 * n / self.law(n, 16))


CASES = (
    Case(1, "one run per n", (16, 32, 64, 128, 256, 512), 1),
    Case(2, "one run per n, 12 n", tuple(round(16 * 2 ** (j / 2)) for j in range(12)), 1),
    Case(3, "three per n, alone", (16, 32, 64, 128, 256), 3),
    Case(4, "shared within n", (16, 32, 64, 128, 256, 512), 3, of_n=0.25, alone=0.1),
    Case(5, "shared within seed", (16, 32, 64, 128, 256), 3, of_seed=0.25, alone=0.1),
    Case(6, "digits_law's components", (16, 32, 64, 128, 256), 3, of_n=0.264, alone=0.115),
    Case(7, "the same, a third censored", (16, 32, 64, 128, 256), 3, of_n=0.264, alone=0.115, last=2200),
    Case(8, "2 n x 4 runs, shared", (32, 128), 4, of_n=0.264, alone=0.115),
    Case(9, "4 n x 3 W x 3, alone", (16, 32, 64, 128), 3, widths=(8, 16, 32)),
    Case(10, "4 n x 3 W x 3, shared", (16, 32, 64, 128), 3, of_n=0.264, alone=0.115, widths=(8, 16, 32)),
    Case(11, "curved: 300 + 20 n", (16, 32, 64, 128, 256), 3, offset=300, alone=0.1),
    Case(12, "curved, one per n", tuple(round(16 * 2 ** (j / 2)) for j in range(9)), 1, offset=300, alone=0.1),
)


class Planted:
    """One family of a case: its runs, and new ones that share its effects."""

    def __init__(self, case: Case, rng: np.random.Generator) -> None:
        self.case, self.rng = case, rng
        self.of_n = {n: case.of_n * rng.standard_normal() for n in case.n}
        self.of_seed = case.of_seed * rng.standard_normal(case.seeds)
        n, width, seed = (part.ravel() for part in np.meshgrid(case.n, case.widths, range(case.seeds), indexing="ij"))
        shared = np.array([self.of_n[one] for one in n]) + self.of_seed[seed]
        tau = case.law(n, width) * np.exp(shared + case.alone * rng.standard_normal(len(n)))
        reached = tau <= case.last
        self.times = pd.DataFrame(
            {"run": np.arange(len(n)).astype(str), "n": n, "width": width, "seed": seed, "index": seed}
        )
        self.times = self.times.assign(
            tau_mem=np.where(reached, tau, np.nan),
            tau_mem_status=np.where(reached, "reached", "right"),
            tau_mem_last_step=np.where(reached, 1e7, case.last),
            tau_mem_bound=np.where(reached, 1e7, case.last),
            tau_mem_definition="planted",
        )
        self.tau = tau

    def new_run(self, n: int) -> float:
        """τ_mem of a run of a new seed at n, which shares the effect of n where the family has that n."""
        case = self.case
        shared = self.of_n.get(n, case.of_n * self.rng.standard_normal())
        alone = np.hypot(case.of_seed, case.alone) * self.rng.standard_normal()
        return float(case.law(n, case.widths[0]) * np.exp(shared + alone))


def measure(case: Case, families: int, collapsed: int) -> Iterator[dict[str, float]]:
    """What one family after the other shows: 1 where an interval holds the planted value, NaN where it is refused."""
    for draw in range(families):
        rng = np.random.default_rng([case.key, draw])
        planted = Planted(case, rng)
        fit = laws(planted.times, n_boot=N_BOOT, seed=draw)["tau_mem"]
        row = {"refused": float("refused" in fit)}
        if "refused" not in fit:
            row |= {"alpha": float(fit["low"] <= case.exponent <= fit["high"]), "width": fit["high"] - fit["low"]}
            rejected = (fit["bend"] or {}).get("p_power_law", 1.0) < REJECTED
            row |= {"rejected": float(rejected), "bends": float(bends(fit))}
            if rejected:
                ends = [end["low"] <= case.local(end["n"]) <= end["high"] for end in fit["bend"]["local"]]
                row["ends"] = float(np.mean(ends))
            if fit["beta_low"] is not None:
                row["beta"] = float(fit["beta_low"] <= -1 <= fit["beta_high"])
        middle = round(np.sqrt(case.n[-1] * case.n[-2]))
        for place, n in (("same n", case.n[-2]), ("between", middle), ("twice", 2 * case.n[-1])):
            truth = planted.new_run(n)
            try:
                made = predict(planted.times, "tau_mem", n=n, width=case.widths[0])
            except LawRefused:
                row["advice refused"] = 1.0
                continue
            row |= {f"early {place}": float(truth < made.low), f"late {place}": float(truth > made.high)}
        if draw < collapsed:
            row |= collapse_of(planted, draw)
        yield row


def collapse_of(planted: Planted, draw: int) -> dict[str, float]:
    """Whether the interval of the collapse of the family's curves of f_mem holds the planted exponent on average."""
    grid = GRID[planted.case.last >= GRID]
    total = np.full(len(grid), 500.0)
    counts = planted.rng.binomial(500, planted_share(grid, planted.tau[:, None])).astype(float)
    curves = [Curve(run="run", step=grid, count=count, total=total, null=0.0) for count in counts]
    n, width = planted.times["n"], planted.times["width"]
    try:
        fit = fit_collapse(curves, n=n, width=width, factors=factors(planted.times), n_boot=N_BOOT, seed=draw)
    except CollapseRefused:
        return {}
    return {"collapse": float(fit.alpha_low <= planted.case.exponent <= fit.alpha_high)}
