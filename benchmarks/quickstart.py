"""P7: the quickstart, from the command to its report, beside the five minutes that it should take.

    python -m benchmarks.quickstart [--json FILE]

One run of `diffmem sweep experiment=quickstart` in a new folder. Seconds are those of the clock, on all cores: the
promise is one of a quiet machine with two, so see the load. The note has the processor time of all its processes, and
which part of the runs' seconds was evaluation, from their `timing.csv`.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks.turns import Row, options, show, where

PROMISED = 300.0  # seconds
COMMAND = "import sys; from diffmem.cli.main import main; sys.exit(main())"


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as place:
        used, begin = processor(), time.perf_counter()
        words = ["sweep", "experiment=quickstart", f"out={place}/quickstart"]
        subprocess.run([sys.executable, "-c", COMMAND, *words], check=True)
        seconds = time.perf_counter() - begin
        share = evaluation(Path(place))
    note = f"{processor() - used:.0f} s of processors; {share:.0%} of the runs' time is evaluation"
    return [Row("quickstart, by the clock: ours, promised", seconds, PROMISED, PROMISED / seconds, 1, where(), note)]


def processor() -> float:
    """Seconds of processors that ended children have had."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def evaluation(folder: Path) -> float:
    """Share of evaluation in the seconds of all runs below `folder`."""
    table = pd.concat([pd.read_csv(path) for path in folder.rglob("timing.csv")])
    train, evaluate = (float(table[f"{name}_seconds"].sum()) for name in ("train", "evaluate"))
    return evaluate / (train + evaluate)


def main() -> None:
    args = options(__doc__, repeats=1).parse_args()
    show(rows(), args.json)


if __name__ == "__main__":
    main()
