"""What an executor costs: a sweep of 24 tiny runs with one and with two workers, beside the pool.

    python -m benchmarks.engines ray --out docs/data/engines.csv

The pool goes first and again last, which shows what else the machine was doing. Overhead per run is the time from a
worker's last run to its next: the median over the runs of a sweep, in which the k-th start follows the (k - workers)-th
end. What comes before the first step of all (processes, imports, queues) is `first start`. Efficiency is seconds with
one worker over twice the seconds with two.

`--out` keeps the rows that the csv has of other executors.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from benchmarks.faults import GROUNDS, Ground
from diffmem.training.plan import plan
from tests.helpers.engines import drive, quick

RUNS, STEPS, WORKERS = 24, 300, (1, 2)


def sweep(ground: Ground, workers: int, folder: Path) -> dict[str, Any]:
    """Seconds of one sweep, and of the runs in it."""
    folder.mkdir()
    configs = [
        quick(folder / "runs", {**ground.options, "workers": workers}, seed, steps=STEPS) for seed in range(RUNS)
    ]
    begin = time.time()
    with drive(configs, folder) as driver:
        assert driver.wait() == 0
    seconds = time.time() - begin
    starts, ends = [], []
    for config in configs:
        run = plan(config).run
        assert run.read_status()["status"] == "complete"
        (segment,) = run.read_meta()["segments"]
        starts.append(segment["start"])
        ends.append(run.read_status()["ended"])
    overhead = median(start - end for start, end in zip(sorted(starts)[workers:], sorted(ends), strict=False))
    return {
        "workers": workers,
        "seconds": seconds,
        "first start (s)": min(starts) - begin,
        "overhead per run (s)": overhead,
        "seconds of a run": median(end - start for start, end in zip(starts, ends, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("executor", choices=[name for name in GROUNDS if name != "pool"])
    parser.add_argument("--out", type=Path, help="csv for the table")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for number, name in enumerate(("pool", args.executor, "pool")):
            folder = Path(place) / str(number)
            folder.mkdir()
            with GROUNDS[name](folder) as ground:
                found = [sweep(ground, workers, folder / str(workers)) for workers in WORKERS]
            one, two = (row["seconds"] for row in found)
            for row in found:
                rows.append({"beside": args.executor, "executor": name, **row, "efficiency": one / (2 * two)})
                print(rows[-1], flush=True)
    table = pd.DataFrame(rows).round(2)
    if args.out:
        others = pd.read_csv(args.out).query("beside != @args.executor") if args.out.exists() else table[:0]
        table = pd.concat([others, table])
        table.to_csv(args.out, index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
