"""What random kills of workers, nodes and drivers do to a sweep: nothing to its bytes, on any executor.

    python -m benchmarks.faults pool --rounds 6 --kills 6 --out docs/data/faults.csv

Each round is a sweep of tiny runs of its own. At random moments a worker that is training, a node (where the executor
has nodes) or the sweep itself is killed (SIGKILL); a killed sweep is started again, a lost node is lost for good and
another takes its place. At the end every run is compared, byte for byte, with a sweep that nothing disturbed. Work lost
is what the killed workers had done past their resume points, as far as their last signs of life tell.

It exits with 1 where any run differs. `--out` is written after each round: rounds that the csv has count, so the same
command goes on, and rows of other executors stay. A new executor joins by a line of GROUNDS.
"""

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from diffmem.config.settings import Config
from diffmem.store import RunDir
from diffmem.training.plan import plan
from tests.helpers import pretended, processes, ray_cluster, slurm_cluster
from tests.helpers.engines import drive, quick
from tests.helpers.tiny import outcome_bytes, same_bytes

STEPS = 600
SAVE_SECONDS, HEARTBEAT_SECONDS = 0.3, 0.1
RETRIES = 1000  # kills come without regard to resume points, and no run shall be given up
ALIVE_SECONDS = 2.0  # since a sign of life of who may be killed
KINDS = ("worker", "node", "driver")
COUNTS = ("rounds", *KINDS, "runs", "steps", "runs that differ", "steps made again")
LONGEST_PAUSE_SECONDS = 6.0
ROUND_SECONDS = 900.0


@dataclass(frozen=True)
class Ground:
    """Where an executor stands: its options, and how it loses a node for good and gets another (None: it has none)."""

    options: Mapping[str, Any]
    lose_node: Callable[[], None] | None = None


@contextlib.contextmanager
def pool(folder: Path) -> Iterator[Ground]:
    yield Ground({"name": "pool", "workers": 2})


@contextlib.contextmanager
def devices(folder: Path) -> Iterator[Ground]:
    with pretended.stand():
        yield Ground(pretended.OPTIONS)


@contextlib.contextmanager
def ray(folder: Path) -> Iterator[Ground]:
    with ray_cluster.two_nodes(folder) as cluster:

        def lose_node() -> None:
            cluster.lose_node()
            cluster.start_node()

        yield Ground({**cluster.options, "workers": 2}, lose_node)


@contextlib.contextmanager
def slurm(folder: Path) -> Iterator[Ground]:
    with slurm_cluster.two_nodes(folder):
        yield Ground({**slurm_cluster.OPTIONS, "workers": 2}, slurm_cluster.lose_busy_node)


GROUNDS: dict[str, Callable[[Path], AbstractContextManager[Ground]]] = {
    "pool": pool,
    "devices": devices,  # pretended ones, on the CPU
    "ray": ray,
    "slurm": slurm,
}


class Watch:
    """Follows the signs of life of runs, and counts the steps that they make again."""

    def __init__(self, runs: list[RunDir]) -> None:
        self.steps_again = 0
        self._runs = runs
        self._seen: dict[str, tuple[int | None, int]] = {}  # the process at work on a run, and the last step it told of

    def training(self) -> list[int]:
        """The processes that train now, as their signs of life say: a number alone may be another process by now."""
        working = []
        for run in self._runs:
            status = run.read_status()
            pid, step = status.get("pid"), status.get("step") or 0
            if pid is not None:  # it has not left
                before, peak = self._seen.get(run.name, (pid, 0))
                if pid != before:
                    self.steps_again += max(peak - max(run.resume_step(), 0), 0)
                self._seen[run.name] = pid, step if pid != before else max(peak, step)
                age = time.time() - status.get("heartbeat", 0)
                if status.get("phase") == "training" and age < ALIVE_SECONDS and processes.is_alive(pid):
                    working.append(pid)
        return working

    def pause(self, seconds: float) -> None:
        last = time.monotonic() + seconds
        while time.monotonic() < last:
            self.training()
            time.sleep(HEARTBEAT_SECONDS / 2)


def play(
    ground: Ground, configs: list[Config], folder: Path, chance: random.Random, most: int
) -> tuple[Counter[str], int]:
    """A sweep that is hit `most` times, or as often as it lasts: kills by kind, and the steps made again.

    The kinds come equally often, in a random order.
    """
    watch, kills = Watch([plan(config).run for config in configs]), Counter[str]()
    kinds = [kind for kind in KINDS if kind != "node" or ground.lose_node] * most
    kinds = chance.sample(kinds[:most], most)
    last = time.monotonic() + ROUND_SECONDS
    sweep = drive(configs, folder)
    try:
        while sweep.poll() is None:
            watch.pause(chance.uniform(0, LONGEST_PAUSE_SECONDS))
            if time.monotonic() > last:
                raise TimeoutError(f"the sweep in {folder} did not end in {ROUND_SECONDS:.0f} seconds")
            working = watch.training()
            if not working or kills.total() == most:
                continue
            kind = kinds[kills.total()]
            if kind == "worker":
                processes.kill([chance.choice(working)])
            elif kind == "driver":
                sweep.kill()
                sweep.wait()
                sweep = drive(configs, folder)
            elif ground.lose_node:
                ground.lose_node()
            kills[kind] += 1
    finally:
        sweep.kill()
        sweep.wait()
    return kills, watch.steps_again


def differing(configs: list[Config], undisturbed: Mapping[int, dict[str, bytes]]) -> int:
    """How many of the runs did not end, or have not the bytes of the undisturbed run of their seed."""
    wrong = 0
    for config in configs:
        run = plan(config).run
        ended = run.read_status().get("status") == "complete"
        wrong += not (ended and same_bytes(outcome_bytes(run.path), undisturbed[config.seed]))
    return wrong


def grid(out: Path, options: Mapping[str, Any], runs: int) -> list[Config]:
    configs = [quick(out, options, seed, steps=STEPS, save_seconds=SAVE_SECONDS) for seed in range(runs)]
    return [replace(config, heartbeat_seconds=HEARTBEAT_SECONDS) for config in configs]


def undisturbed_sweep(folder: Path, runs: int) -> dict[int, dict[str, bytes]]:
    """What each run leaves, by its seed, when nothing disturbs it."""
    configs = grid(folder / "runs", {"name": "here"}, runs)
    with drive(configs, folder) as sweep:
        assert sweep.wait() == 0
    return {config.seed: outcome_bytes(plan(config).run.path) for config in configs}


def known(out: Path | None, executor: str) -> tuple[list[dict[Any, Any]], Counter[str]]:
    """The rows that the csv has of other executors, and the counts that it has of this one."""
    rows = pd.read_csv(out).to_dict("records") if out and out.exists() else []
    mine = next((row for row in rows if row["executor"] == executor), {})
    return [row for row in rows if row is not mine], Counter({name: mine.get(name, 0) for name in COUNTS})


def table_of(others: list[dict[Any, Any]], executor: str, counts: Counter[str]) -> pd.DataFrame:
    row = {"executor": executor, **{name: counts[name] for name in COUNTS}}
    return pd.DataFrame([*others, row]).sort_values("executor")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("executor", choices=GROUNDS)
    parser.add_argument("--rounds", type=int, default=6, help="in all")
    parser.add_argument("--kills", type=int, default=6, help="most of a round")
    parser.add_argument("--runs", type=int, default=6, help="of a sweep")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and kinds")
    parser.add_argument("--out", type=Path, help="csv for the table")
    args = parser.parse_args()
    others, counts = known(args.out, args.executor)
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        ground_folder, alone = Path(place) / "ground", Path(place) / "alone"
        ground_folder.mkdir()
        alone.mkdir()
        undisturbed = undisturbed_sweep(alone, args.runs)
        ground = stack.enter_context(GROUNDS[args.executor](ground_folder))
        for number in range(counts["rounds"], args.rounds):
            folder = Path(place) / str(number)
            folder.mkdir()
            configs = grid(folder / "runs", {**ground.options, "retries": RETRIES}, args.runs)
            kills, again = play(ground, configs, folder, random.Random(args.seed + number), args.kills)
            found = Counter({**kills, "rounds": 1, "runs": args.runs, "steps": args.runs * STEPS})
            found |= Counter({"runs that differ": differing(configs, undisturbed), "steps made again": again})
            print(f"round {number}: {dict(found)}", flush=True)
            counts += found
            if args.out:
                table_of(others, args.executor, counts).to_csv(args.out, index=False)
    print(table_of(others, args.executor, counts).to_string(index=False))
    return int(counts["runs that differ"] > 0)


if __name__ == "__main__":
    sys.exit(main())
