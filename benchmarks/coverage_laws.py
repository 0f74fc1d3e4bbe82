"""Coverage of everything about laws that claims 95%, on planted families, as a table and a csv.

    OMP_NUM_THREADS=1 python -m benchmarks.coverage_laws [--families 300] [--out coverage.csv]

From the repository's root, some minutes. Every family has log τ = log 20 + α log n + β log W + an effect shared by the
runs of one n + one shared by those of one seed + one of the run; curved ones have τ = 300 + 20 n. The families are
those of tests/helpers/planted_scatter.py, and tests/analysis/test_planted_scatter.py runs fewer of them. Columns: how
often the interval of α (and β) holds the planted one, of curved families that of the line through their n, and how
often that of the collapse does; how often intervals of local exponents hold theirs, where the sentence gives them; how
often a new run memorizes before the step it is told to stop by (promised: 0.025), at an n the family has, at one
between, and at twice the largest, and how often after the upper end of its interval; the median width of the interval
of α; how often the power law is rejected, and how often the sentence calls the exponent an average or gives local
ones; and the share of families refused.
"""

import argparse
import csv
from pathlib import Path

import pandas as pd

from tests.helpers.planted_scatter import CASES, Case, measure

COLUMNS = (
    "alpha",
    "beta",
    "collapse",
    "ends",
    "early same n",
    "early between",
    "early twice",
    "late same n",
    "late between",
    "late twice",
    "width",
    "rejected",
    "bends",
    "refused",
)


def summary(case: Case, families: int, collapsed: int) -> dict[str, object]:
    seen = pd.DataFrame(measure(case, families, collapsed)).reindex(columns=list(COLUMNS))
    out: dict[str, object] = {"case": case.name, "families": families}
    for name in COLUMNS:
        known = seen[name].dropna()
        value = known.median() if name == "width" else known.mean()
        out[name] = round(float(value), 3) if len(known) else ""
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", type=int, default=300)
    parser.add_argument("--collapsed", type=int, default=150, help="families of each case that are collapsed as well")
    parser.add_argument("--out", type=Path, help="csv for the table")
    args = parser.parse_args()
    print(f"{'case':28}" + "".join(f"{name:>14}" for name in COLUMNS))
    rows = []
    for case in CASES:
        rows.append(summary(case, args.families, args.collapsed))
        print(f"{case.name:28}" + "".join(f"{rows[-1][name]:>14}" for name in COLUMNS), flush=True)
    if args.out:
        with args.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
