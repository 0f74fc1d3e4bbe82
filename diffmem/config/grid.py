"""The steps with a checkpoint (definitions, section 6)."""

import math
from dataclasses import dataclass

from diffmem.config.options import option

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


@dataclass(frozen=True, kw_only=True)
class GridConfig:
    """Steps with a checkpoint: round(first * 10^(j / per_decade)), or the study's own integers."""

    kind: str = option(choices=("log", "reference"))
    per_decade: int = option(low=1, high=1000)
    first: int = option(low=1, high=10**10)

    def steps(self, last: int) -> list[int]:
        """From 0 to `last`, both included."""
        if self.kind == "reference":
            steps = {step for step in REFERENCE_GRID if step < last}
        else:
            decades = math.log10(last / self.first) if last > self.first else 0.0
            count = math.ceil(decades * self.per_decade) + 1
            grid = (round(self.first * 10 ** (j / self.per_decade)) for j in range(count))
            steps = {step for step in grid if step < last}
        return sorted(steps | {0, last})
