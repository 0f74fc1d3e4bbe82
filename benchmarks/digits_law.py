"""The sweep behind docs/data/digits_law.csv made again, its laws beside those of the table that is kept.

    python benchmarks/digits_law.py [--out runs/digits_law] [overrides, such as data.n=16,32 executor.workers=4]

About an hour and a quarter on two cores; started again, it goes on. Exits with 1 where an interval made anew and the
one kept do not overlap.
"""

import argparse
import sys
import time
from pathlib import Path

from diffmem.analysis import pipeline
from diffmem.cli.main import main as diffmem

KEPT = Path(__file__).parents[1] / "docs" / "data" / "digits_law.csv"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="runs/digits_law")
    parser.add_argument("overrides", nargs="*")
    args = parser.parse_args()
    start = time.perf_counter()
    code = diffmem(["sweep", "experiment=digits_law", f"out={args.out}", *args.overrides])
    if code:
        return code
    taken = time.perf_counter() - start
    anew, kept = pipeline.fit(args.out), pipeline.fit(KEPT)
    print(f"{'':>8}{'kept':>24}{'made anew':>24}")
    apart = False
    for name in ("tau_mem", "tau_bias", "tau_gen"):
        laws = [fitted.laws[name] for fitted in (kept, anew)]
        shown = [f"{law['alpha']:.2f} [{law['low']:.2f}, {law['high']:.2f}]" for law in laws]
        print(f"{name:>8}{shown[0]:>24}{shown[1]:>24}")
        apart |= max(law["low"] for law in laws) > min(law["high"] for law in laws)
    print(f"{taken:.0f} s")
    return int(apart)


if __name__ == "__main__":
    sys.exit(main())
