"""The executors there are, for the tests of what each of them promises. A new one joins by a line of ENGINES."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from diffmem.config.settings import Config
from diffmem.executors.base import Executor, start
from diffmem.store import RunDir
from tests.helpers import pretended, ray_cluster, slurm_cluster
from tests.helpers.tiny import tiny

Options = Mapping[str, Any]
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Engine:
    """An executor under test: its options, and whether its workers are processes that can be killed one by one.

    `packed`: it trains runs together, to bytes that are not those of a run without it.

    `stand` is given a folder, brings up what the executor needs, gives the options that name it, and takes it down
    again; it skips the test, by name, where the machine has no such thing.
    """

    options: Options
    apart: bool
    packed: bool = False
    stand: Callable[[Path], AbstractContextManager[Options]] = lambda folder: nullcontext({})


@contextmanager
def _devices(folder: Path) -> Iterator[Options]:
    with pretended.stand():
        yield {}


@contextmanager
def _ray(folder: Path) -> Iterator[Options]:
    if not ray_cluster.is_installed():
        pytest.skip("Ray is not installed: tests/ray.sh installs it and runs this test")
    with ray_cluster.two_nodes(folder) as cluster:
        yield cluster.options


@contextmanager
def _slurm(folder: Path) -> Iterator[Options]:
    if missing := slurm_cluster.missing():
        pytest.skip(missing)
    with slurm_cluster.two_nodes(folder):
        yield {}


ENGINES = {
    "here": Engine({"name": "here"}, apart=False),
    "pack": Engine({"name": "pack", "workers": 3}, apart=False, packed=True),
    "pool": Engine({"name": "pool", "workers": 2, "retries": 1}, apart=True),
    "devices": Engine(pretended.OPTIONS, apart=True, stand=_devices),
    "ray": Engine(ray_cluster.OPTIONS, apart=True, stand=_ray),
    "slurm": Engine(slurm_cluster.OPTIONS, apart=True, stand=_slurm),
}


def quick(out: Path, options: Options, seed: int = 0, data: Mapping[str, Any] | None = None, **train: Any) -> Config:
    """A run of an instant, measured at its first and its last step; `train` are options such as `steps=600`."""
    steps = train.setdefault("steps", 24)
    measured = {"test_images": 16, "bootstrap": 0}
    return tiny(
        out, data=dict(data or {}), train=train, grid={"first": steps}, eval=measured, executor=dict(options), seed=seed
    )


DRIVE = """
import contextlib, json, sys
sys.path.append(sys.argv[2])
from diffmem.config.settings import Config
from diffmem.store import RunDir
from diffmem.sweep.grid import plan_grid, run_all
from tests.helpers import pretended
if __name__ == "__main__":  # processes of a pool import this file
    plans = plan_grid(map(Config.from_mapping, json.loads(sys.argv[1])))
    with pretended.stand_if_asked():
        for result in run_all(plans, contextlib.nullcontext()):
            print(result.sentence, flush=True)
"""


class Sweep(subprocess.Popen[str]):
    """A sweep in a process of its own; as a context, one that a failing test leaves is killed."""

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, trace)


def drive(configs: list[Config], folder: Path) -> Sweep:
    """A sweep of these runs in a process of its own, which prints what became of each."""
    script = folder / "drive.py"
    script.write_text(DRIVE)
    settings = json.dumps([config.to_mapping() for config in configs])
    return Sweep([sys.executable, str(script), settings, str(ROOT)], stdout=subprocess.PIPE, text=True)


@contextmanager
def started(config: Config) -> Iterator[Executor]:
    """The executor of `config`, whose runs are over when the block is; where that fails, they are asked to leave."""
    executor = start(config)
    try:
        yield executor
    except BaseException:
        executor.close(cancel=True)
        raise
    executor.close()


def wait(ready: Callable[[], bool]) -> None:
    for _ in range(15_000):
        if ready():
            return
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def at_work(run: RunDir, other_than: set[int]) -> bool:
    """Whether a worker, none of these, has begun or gone on with the run: known before its first sign of life."""
    return run.read_status().get("pid", 0) not in {0, *other_than}


def training(run: RunDir, other_than: set[int] = frozenset()) -> bool:  # type: ignore[assignment]
    """Whether a worker, none of these, is past the run's first resume point."""
    status = run.read_status()
    return status.get("phase") == "training" and status.get("pid") not in other_than and run.resume_step() >= 0
