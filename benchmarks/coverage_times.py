"""Coverage, width and bias of the interval of τ_mem of one run, on planted curves.

    python -m benchmarks.coverage_times [--curves 400] [--bootstraps 400] [--out coverage_times.csv]

From the repository's root. The curves are those of tests/helpers/planted_curves.py, and
tests/analysis/times/test_coverage.py runs some of them. `width` is the median of log(high / low), beside that of the
bracket of checkpoints; `bias` the mean of log(τ read / τ planted).
"""

import argparse
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from tests.helpers.planted_curves import FAMILIES, read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=int, default=400)
    parser.add_argument("--bootstraps", type=int, default=400)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--definition", default="fmem_crosses")
    args = parser.parse_args()
    records = []
    for name in FAMILIES:
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        times = read(FAMILIES[name], args.curves, args.bootstraps, rng, args.definition)
        records.append({"family": name} | summary(times))
    table = pd.DataFrame(records)
    print(table.to_string(index=False, float_format="{:.3f}".format))
    if args.out:
        table.to_csv(args.out, index=False, float_format="%.4f")


def summary(times: pd.DataFrame) -> dict[str, float]:
    """One line of the table, from the times of `read`."""
    reached = times[times["status"] == "reached"]
    covers = (reached["low"] <= reached["tau"]) & (reached["tau"] <= reached["high"])
    return {
        "curves": len(times),
        "reached": len(reached) / len(times),
        "covers": covers.mean(),
        "below": (reached["tau"] < reached["low"]).mean(),
        "above": (reached["tau"] > reached["high"]).mean(),
        "width": (reached["high"] / reached["low"]).apply(np.log).median(),
        "bracket": (reached["after"] / reached["before"]).apply(np.log).median(),
        "bias": np.log(reached["value"] / reached["tau"]).mean(),
        "spread": np.log(reached["value"] / reached["tau"]).std(),
    }


if __name__ == "__main__":
    main()
