"""The Slurm executor on a real Slurm of two nodes: nodes are lost, tasks cancelled, times up, sweeps killed."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from diffmem.cli.main import main
from diffmem.config.settings import Config
from diffmem.executors.open_runs import OpenRuns
from diffmem.store import RunDir
from diffmem.sweep.grid import plan_grid, run_all
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers import slurm_cluster
from tests.helpers.engines import drive, quick, started, training, wait
from tests.helpers.slurm_cluster import OPTIONS, ask
from tests.helpers.tiny import outcome_bytes, same_bytes

MISSING = slurm_cluster.missing()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("slurm"),
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
]

LONG: dict[str, Any] = {"steps": 300, "save_seconds": 0.3}
ENDLESS: dict[str, Any] = {"steps": 1_000_000, "save_seconds": 1000.0}
COMPLETE = "complete, trained to step 300"


@pytest.fixture(autouse=True, scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with slurm_cluster.two_nodes(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture(autouse=True)
def an_empty_queue() -> Iterator[None]:
    """A failing test leaves no tasks to the next one, and so ends its sweeps too."""
    yield
    slurm_cluster.clear()


@dataclass(frozen=True)
class Grid:
    """The runs of a test, and what became of them."""

    configs: list[Config]

    @property
    def runs(self) -> list[RunDir]:
        return [plan(config).run for config in self.configs]

    @property
    def at_work(self) -> list[RunDir]:
        """Those past their first steps."""
        return [run for run in self.runs if training(run) and run.resume_step() > 0]

    @property
    def segments(self) -> list[int]:
        """How often each was begun."""
        return [len(run.read_meta()["segments"]) for run in self.runs]

    @property
    def arrays(self) -> list[str]:
        """Those that were submitted."""
        found: list[str] = json.loads((Path(self.configs[0].out_folder) / "slurm" / "jobs.json").read_text())["arrays"]
        return found

    def sweep(self) -> list[str]:
        """A sweep in this process: what became of each run."""
        return [result.sentence for result in run_all(plan_grid(self.configs), contextlib.nullcontext())]

    @contextlib.contextmanager
    def sweeping(self) -> Iterator[list[str]]:
        """A sweep in a thread, past a run's first steps: what became of each is there when the block is over."""
        sentences: list[str] = []
        thread = threading.Thread(target=lambda: sentences.extend(self.sweep()), daemon=True)
        thread.start()
        wait(lambda: bool(self.at_work))
        yield sentences
        thread.join()

    def sweep_and_kill(self, folder: Path) -> None:
        """A sweep in a process of its own, which is killed past a run's first steps."""
        with drive(self.configs, folder) as sweep:
            wait(lambda: bool(self.at_work))
            sweep.kill()


Grids = Callable[..., Grid]
Whole = Callable[[Grid], bool]


@pytest.fixture
def grids(tmp_path: Path) -> Grids:
    """Makes grids of as many runs, in one folder."""

    def make(count: int, train: dict[str, Any] = LONG, **options: Any) -> Grid:
        return Grid([quick(tmp_path / "runs", {**OPTIONS, **options}, seed, **train) for seed in range(count)])

    return make


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Whether all runs have the bytes of runs that nothing disturbed."""
    out = tmp_path_factory.mktemp("alone")

    def compare(grid: Grid) -> bool:
        alone = [plan(replace(config, out=str(out / str(config.train.steps)))) for config in grid.configs]
        assert {execute(planned).status for planned in alone} == {"complete"}
        found = zip(map(outcome_bytes, (run.path for run in grid.runs)), alone, strict=True)
        return all(same_bytes(files, outcome_bytes(planned.run.path)) for files, planned in found)

    return compare


def worker_of(run: RunDir) -> str:
    opened = OpenRuns(run.path.parent / "slurm")
    entry = opened.read(next(name for name in opened.open() if opened.run(name).name == run.name))
    assert entry is not None
    return entry.worker


def test_a_lost_node_gives_its_task_back_and_the_run_goes_on(grids: Grids, whole: Whole) -> None:
    grid = grids(1, workers=1)
    with grid.sweeping() as sentences:
        slurm_cluster.lose_busy_node()
    assert sentences == [COMPLETE]
    assert grid.segments == [2]
    assert len(grid.arrays) == 1
    assert whole(grid)


def test_a_cancelled_task_leaves_its_run_to_the_others(grids: Grids, whole: Whole) -> None:
    grid = grids(3)
    with grid.sweeping() as sentences:
        ask("scancel", worker_of(grid.at_work[0]))
    assert sentences == [COMPLETE] * 3
    assert sum(grid.segments) == 4
    assert whole(grid)


def test_who_cancels_all_tasks_ends_the_sweep_and_the_same_command_goes_on(grids: Grids, whole: Whole) -> None:
    grid = grids(3)
    with grid.sweeping() as sentences:
        ask("scancel", grid.arrays[0])
    cancelled = "interrupted, its jobs were cancelled in Slurm: the same command goes on"
    assert cancelled in sentences
    assert set(sentences) <= {cancelled, COMPLETE}
    assert grid.sweep() == [COMPLETE] * 3
    assert len(grid.arrays) == 2
    assert whole(grid)


def test_a_time_limit_shorter_than_a_run(grids: Grids, whole: Whole) -> None:
    """Of a run without end: nothing but Slurm's warning makes a resume point. Then the run is given one."""
    grid = grids(1, ENDLESS, workers=1, time=2, retries=0)
    [run] = grid.runs
    with started(grid.configs[0]) as executor:
        executor.submit(plan(grid.configs[0]))
        wait(lambda: run.resume_step() > 0)
        saved = run.resume_step()
        wait(slurm_cluster.release)
        wait(lambda: grid.segments == [2] and (run.read_status().get("step") or 0) > saved)
        assert len(grid.arrays) == 1
        executor.close(cancel=True)
    assert run.read_status()["status"] == "interrupted"

    short = grids(1, {"steps": run.resume_step() + 50})
    assert [sentence.partition(",")[0] for sentence in short.sweep()] == ["complete"]
    assert whole(short)


def test_a_sweep_started_again_takes_up_the_array_in_the_queue(grids: Grids, whole: Whole, tmp_path: Path) -> None:
    grid = grids(3)
    grid.sweep_and_kill(tmp_path)
    assert grid.sweep() == [COMPLETE] * 3
    assert len(grid.arrays) == 1
    assert grid.segments == [1] * 3
    assert whole(grid)


def test_what_ended_while_there_was_no_sweep_is_not_done_again(grids: Grids, tmp_path: Path) -> None:
    grid = grids(2)
    grid.sweep_and_kill(tmp_path)
    wait(lambda: all(run.read_status()["status"] == "complete" for run in grid.runs))
    assert grid.sweep() == [COMPLETE] * 2
    assert len(grid.arrays) == 1


def test_two_sweeps_of_one_folder_share_one_array(grids: Grids, tmp_path: Path) -> None:
    """Who reads second that a run is over finds no word of it in the queue, and does not send a task for it."""
    grid = grids(3)
    with drive(grid.configs, tmp_path) as other:
        assert grid.sweep() == [COMPLETE] * 3
        said, _ = other.communicate(timeout=400)
    assert said.splitlines() == [COMPLETE] * 3
    assert grid.segments == [1] * 3
    assert len(grid.arrays) == 1


SWEEP = "import sys; from diffmem.cli.main import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize(
    ("mount", "code", "said"),
    [
        ("size=1m", 2, "a node of Slurm does not see it"),
        ("size=1m,ro", 2, "is not writable"),
        ("size=4k,nr_inodes=1", 1, "No space left on device"),
    ],
)
def test_an_out_that_the_nodes_do_not_see_or_that_takes_nothing(
    mount: str, code: int, said: str, tmp_path: Path
) -> None:
    """A disk that only the sweep's own process has mounted."""
    out = tmp_path / "out"
    out.mkdir()
    words = ["data.n=16,32", "train.steps=60", "executor=slurm", "executor.look_seconds=1", f"out={out}/runs"]
    command = [sys.executable, "-c", SWEEP, "sweep", *words]
    script = f'mount -t tmpfs -o {mount} none {out} && "$@"; code=$?; ls -A {out}; exit $code'
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script, "bash", *command], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert list(out.iterdir()) == []


def test_a_python_that_the_nodes_do_not_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["executor=slurm", "executor.python=/nowhere/python", "executor.look_seconds=1", f"out={tmp_path / 'runs'}"]
    assert main(["sweep", "data.n=16,32", "train.steps=60", *words]) == 2
    said = capsys.readouterr().err
    assert "a first job did not come as far as diffmem on its node" in said
    assert "/nowhere/python" in said
    assert list(tmp_path.iterdir()) == []
