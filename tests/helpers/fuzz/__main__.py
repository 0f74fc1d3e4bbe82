"""`python -m tests.helpers.fuzz [cases] [csv]`: tries cases of every kind and counts how they ended.

The same cases at every call. They run in a process that may take GIB of memory; one that neither ends nor answers is
killed, and the next goes on after it. Exits with 1 where a case was not clear.
"""

import csv
import os
import resource
import select
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from diffmem.version import __version__
from tests.helpers.fuzz import images, overrides, stored, tables, tensors
from tests.helpers.fuzz.judge import OUTCOMES, Case, Verdict, try_case

KINDS: dict[str, tuple[Any, float]] = {  # kind -> its cases, and their part of all
    "overrides": (overrides.cases(), 0.4),
    "stored": (stored.cases(), 0.25),
    "tables": (tables.cases(), 0.15),
    "images": (images.cases(), 0.1),
    "tensors": (tensors.cases(), 0.1),
}
GIB = 12
PATIENCE = 240.0  # seconds until a process that does not answer is killed
SLOW = 8.0  # seconds of a case that is printed


def collect(kind: str, count: int) -> list[Case]:
    found: list[Case] = []

    @settings(max_examples=count, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(KINDS[kind][0])
    def take(case: Case) -> None:
        found.append(case)

    take()
    return found


def run_all(cases: list[Case]) -> list[Verdict]:
    """The verdict of each case, by child processes that are forked from here."""
    verdicts: list[Verdict] = []
    while len(verdicts) < len(cases):
        first, (reader, writer) = len(verdicts), os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _try(cases[first:], writer)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as answers:
            for _ in cases[first:]:
                ready, _, _ = select.select([answers], [], [], PATIENCE)
                line = answers.readline().decode(errors="replace") if ready else ""
                if not line:
                    break
                outcome, _, said = line.rstrip("\n").partition("\t")
                verdicts.append(Verdict(outcome, said))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if len(verdicts) < len(cases) and (status or len(verdicts) == first):
            verdicts.append(Verdict("hang", "it was killed, or died"))
    return verdicts


def _in_a_child(work: Callable[[], str]) -> str:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, work().encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        found = answer.read()
    os.waitpid(child, 0)
    return found


def _try(cases: list[Case], writer: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (GIB << 30, GIB << 30))
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for number, case in enumerate(cases):
            begin = time.process_time()
            verdict = try_case(case, Path(folder) / str(number))
            if time.process_time() - begin > SLOW:
                print(f"{time.process_time() - begin:.0f} s: {case.label}", flush=True)
            os.write(
                writer, f"{verdict.outcome}\t{verdict.said}".replace("\n", " ").encode(errors="replace")[:4000] + b"\n"
            )


def main(count: int = 2000, table: Path | None = None) -> int:
    os.environ["FUZZ_RUNS"] = _in_a_child(lambda: str(stored.trained()))  # threads of torch do not outlive a fork
    begin, whole = time.monotonic(), Counter[str]()
    lines: list[dict[str, Any]] = []
    for kind, (_, part) in KINDS.items():
        cases = collect(kind, round(count * part))
        verdicts = run_all(cases)
        counted = Counter(verdict.outcome for verdict in verdicts)
        for case, verdict in zip(cases, verdicts, strict=True):
            if verdict.outcome != "clear":
                print(f"{verdict.outcome}: {case.label}: {verdict.said[:300]}", flush=True)
        lines.append(
            {"version": __version__, "kind": kind, "tried": len(cases), **{name: counted[name] for name in OUTCOMES}}
        )
        whole += counted
    lines.append({"version": __version__, "kind": "all", "tried": sum(line["tried"] for line in lines),
                  **{name: whole[name] for name in OUTCOMES}})  # fmt: skip
    for line in lines:
        print("  ".join(f"{name} {value}" for name, value in line.items()))
    print(f"{time.monotonic() - begin:.0f} seconds")
    if table is not None:
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, lines[0])
            writer.writeheader()
            writer.writerows(lines)
    return 0 if whole["clear"] == lines[-1]["tried"] else 1


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(main(int(arguments[0]) if arguments else 2000, Path(arguments[1]).absolute() if arguments[1:] else None))
