"""The speed of diffmem beside what else does the same: P1 to P8, or those that are named.

    python -m benchmarks [P1 P3 ...] [--reference DIR] [--repeats N] [--json FILE] [--csv FILE]

P1 a training step on the CPU, P2 on CUDA, P3 nearest neighbours, P4 the evaluation of a checkpoint, P5 the spectral
density, P6 the limit's losses, P7 the quickstart (minutes, so only where it is named), P8 a pack of runs. One thread
each, the two sides in turns, medians of process seconds; the ratio is theirs over ours. The study's code is that of
DIR. `--json` keeps the rows that the file has of benchmarks that were not run now, and `--csv` writes all of them as a
table. Every module has more options of its own: python -m benchmarks.step --help.
"""

import argparse
import csv
import json
import platform
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import evaluation, neighbours, pack, quickstart, step, study, theory
from benchmarks.turns import HEAD, Found, Missing, where
from diffmem.training import machine

THREADS = 1


@dataclass(frozen=True)
class Benchmark:
    """`rows(folder of the study's code, repeats)`; `asked`: only where it is named."""

    what: str
    rows: Callable[[Path | None, int], Iterable[Found]]
    repeats: int
    asked: bool = False


def nearest(repeats: int) -> Iterable[Found]:
    words = ["--n", "1024", "8192", "--samples", "1000", "--repeats", str(repeats), "--threads", str(THREADS)]
    return neighbours.rows(neighbours.arguments().parse_args(words))


BENCHMARKS = {
    "P1": Benchmark(
        "a step on the CPU",
        lambda folder, repeats: step.measure(torch.device("cpu"), folder, repeats, THREADS),
        repeats=5,
    ),
    "P2": Benchmark(
        "a step on CUDA",
        lambda folder, repeats: step.measure(torch.device("cuda"), folder, repeats, THREADS),
        repeats=5,
    ),
    "P3": Benchmark("nearest neighbours", lambda _, repeats: nearest(repeats), repeats=3),
    "P4": Benchmark("the evaluation of a checkpoint", evaluation.rows, repeats=5),
    "P5": Benchmark(
        "the spectral density",
        lambda _, repeats: [theory.spectrum(theory.LAMBDAS, theory.ALTERNATIVE, repeats)],
        repeats=3,
    ),
    "P6": Benchmark("the limit's losses", lambda _, repeats: theory.losses(repeats), repeats=1),
    "P7": Benchmark("the quickstart", lambda _, repeats: quickstart.rows(), repeats=1, asked=True),
    "P8": Benchmark("a pack of runs", pack.rows, repeats=7),
}
WAITS = Missing("the quickstart", "it takes minutes, so it has to be named", "python -m benchmarks P7")


def run(name: str, named: bool, folder: Path | None, repeats: int | None) -> Iterable[Found]:
    """The rows of one benchmark, as they come."""
    benchmark = BENCHMARKS[name]
    machine.set_threads(THREADS)
    return [WAITS] if benchmark.asked and not named else benchmark.rows(folder, repeats or benchmark.repeats)


def kept(path: Path | None, names: Iterable[str]) -> list[dict[str, Any]]:
    """Rows of a file that others than `names` have written."""
    if path is None or not path.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(path.read_text())
    return [row for row in rows if row["what"] not in names]


def write_csv(path: Path, table: list[dict[str, Any]]) -> None:
    """What was measured, for a page: times in ms with three digits."""
    head = ["", "case: ours, theirs", "ours, ms", "theirs, ms", "ratio", "repeats", "load", "note"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        for row in table:
            if "why" not in row:
                times = [digits(1e3 * row["ours"]), digits(1e3 * row["theirs"]), f"{row['ratio']:.2f}"]
                writer.writerow([row["what"], row["case"], *times, row["repeats"], row["load"], row["note"]])


def digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="P1..P8", help="all by default")
    parser.add_argument("--reference", type=study.folder, help="checkout of the study's code")
    parser.add_argument("--repeats", type=int, help="turns of each side that count; by default each has its own")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    parser.add_argument("--csv", type=Path, help="also write the table here")
    args = parser.parse_args()
    for name in args.names:
        if name not in BENCHMARKS:
            parser.error(f"{name} is no benchmark: name some of {', '.join(BENCHMARKS)}")
    if args.repeats is not None and args.repeats < 1:
        parser.error(f"--repeats {args.repeats} measures nothing: at least 1")
    machine.set_threads(THREADS)
    print(f"Python {platform.python_version()}, {where()}\n   {HEAD}")
    names = args.names or list(BENCHMARKS)
    table = kept(args.json, names)
    for name in names:
        for one in run(name, bool(args.names), args.reference, args.repeats):
            print(f"{name} {one.line()}", flush=True)
            table.append({"what": name, **asdict(one)})
            table.sort(key=lambda row: row["what"])  # stable
            if args.json:
                args.json.write_text(json.dumps(table, indent=1) + "\n")
    if args.csv:
        write_csv(args.csv, table)


if __name__ == "__main__":
    main()
