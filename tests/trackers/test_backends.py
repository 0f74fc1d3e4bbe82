"""The four trackers against their real back ends on this machine, each read back by its own reader.

`tests/trackers.sh` installs them and runs these tests; elsewhere they are skipped by the name of what is missing.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from diffmem.cli.main import main
from diffmem.config.tracker import MLflowTracker
from diffmem.store import RunDir
from diffmem.trackers.base import check, start
from diffmem.trackers.beside import beside
from diffmem.trackers.feed import Feed
from diffmem.trackers.reading import run_subject
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers.backends import BACKENDS, Backend, MLflowBackend, MLflowServer, TensorBoardBackend
from tests.helpers.tiny import CHECKPOINTS, outcome_bytes, tiny
from tests.helpers.tracked import YOUNG, expected, only_run

NEEDED = os.environ.get("DIFFMEM_NEED_TRACKERS") == "1"
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


def need(package: str) -> None:
    if not NEEDED and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: tests/trackers.sh installs it and runs this")


@pytest.fixture(scope="session", autouse=True)
def trackio_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """trackio reads once, when it is imported, where its store is."""
    os.environ["TRACKIO_DIR"] = str(tmp_path_factory.mktemp("trackio"))


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """An empty back end; nothing but it and the runs is written."""
    need(request.param)
    if request.param == "mlflow":
        need("sqlalchemy")
    (tmp_path / "backend").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    made: Backend = BACKENDS[request.param](tmp_path / "backend")
    check(made.options)
    yield made
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.fixture
def folder(young: Path, tmp_path: Path) -> Path:
    """A folder with the young run, to be changed."""
    return Path(shutil.copytree(young, tmp_path / "runs"))


def track(folder: Path, backend: Backend) -> None:
    assert main(["track", str(folder), *backend.words]) == 0
    os.environ.pop("WANDB_SERVICE", None)  # so that the processes to come have one of their own, as users' have


def assert_holds(backend: Backend, run: Path) -> None:
    """Exactly the rows of `run`: nothing missing, nothing twice, every value, a sheet at each step."""
    wanted = [(step, name, value) for step, values in expected(run).items() for name, value in values.items()]
    found = sorted(backend.points())
    assert [point[:2] for point in found] == [point[:2] for point in sorted(wanted)]
    values = np.array([point[2] for point in found]), np.array([point[2] for point in sorted(wanted)])
    np.testing.assert_allclose(*values, rtol=0 if backend.exact else 1e-6)
    assert sorted(backend.image_steps()) == sorted(expected(run))


def test_all_is_sent_once(backend: Backend, grown: Path) -> None:
    track(grown, backend)
    track(grown, backend)
    assert_holds(backend, only_run(grown))


def test_a_resumed_run_goes_on_in_the_same_run(backend: Backend, folder: Path, grown: Path) -> None:
    track(folder, backend)
    assert {step for step, _, _ in backend.points()} == {step for step in CHECKPOINTS if step <= YOUNG}
    shutil.copytree(grown, folder, dirs_exist_ok=True)
    track(folder, backend)
    assert_holds(backend, only_run(grown))


def test_rows_cut_and_written_again(backend: Backend, folder: Path) -> None:
    metrics = only_run(folder) / "metrics.jsonl"
    whole = metrics.read_bytes()
    track(folder, backend)
    for lines in (whole.splitlines(keepends=True)[:2], [whole]):
        metrics.write_bytes(b"".join(lines))
        track(folder, backend)
    assert_holds(backend, only_run(folder))


def test_a_row_that_came_out_otherwise_elsewhere(backend: Backend, folder: Path) -> None:
    track(folder, backend)
    before = expected(only_run(folder))
    metrics = only_run(folder) / "metrics.jsonl"
    *rows, last = metrics.read_text().splitlines()
    changed = {**json.loads(last), "mmd_pixels": 1234.5}
    metrics.write_text("\n".join([*rows, json.dumps(changed)]) + "\n")
    track(folder, backend)
    (value,) = [value for step, name, value in backend.points() if (step, name) == (YOUNG, "mmd_pixels")]
    assert value == (1234.5 if backend.replaces else before[YOUNG]["mmd_pixels"])


KILLED = """
import os, sys
from pathlib import Path
from diffmem.config.compose import compose_tracker
from diffmem.pictures import Pictures
from diffmem.store import RunDir
from diffmem.trackers.base import start
from diffmem.trackers.reading import run_points, run_subject
run = RunDir(Path(sys.argv[1]))
tracker = start(compose_tracker(sys.argv[2:]), run_subject(run))
first, second, *_ = tracker.missing(run_points(run, Pictures()))
tracker.send(first)
tracker.flush()
tracker.send(second)
os.kill(os.getpid(), 9)
"""


def test_a_tracker_killed_while_it_sends(backend: Backend, folder: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(only_run(folder)), *backend.words], check=False)
    assert killed.returncode == -9
    track(folder, backend)
    assert_holds(backend, only_run(folder))


def test_live_beside_a_run(backend: Backend, grown: Path, tmp_path: Path) -> None:
    planned = plan(tiny(tmp_path / "live"))
    with beside(planned.run.path, backend.options):
        assert execute(planned).exit_code == 0
    assert_holds(backend, planned.run.path)
    assert outcome_bytes(planned.run.path) == outcome_bytes(only_run(grown))


def test_a_server_that_dies_and_comes_back(folder: Path, grown: Path, tmp_path: Path) -> None:
    need("mlflow")
    need("sqlalchemy")
    said: list[str] = []
    with MLflowServer(tmp_path) as server:
        backend = MLflowBackend(tmp_path, server.address)
        sending = Feed(folder, MLflowTracker(uri=server.address, experiment="diffmem"), said.append)
        sending.poll()
        assert_holds(backend, only_run(folder))
        server.stop()
        shutil.copytree(grown, folder, dirs_exist_ok=True)
        sending.poll()
        assert sending.failing
        assert len(said) == 1
        server.start()
        sending.poll()
        sending.close()
        assert not sending.failing
        assert_holds(backend, only_run(grown))
        _, run = backend.run()
        assert run.info.status == "FINISHED"
        assert run.data.params["data.n"] == "8"


def test_wandb_without_an_account_or_a_server(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    need("wandb")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr("diffmem.trackers.wandb.INIT_SECONDS", 2.0)
    from diffmem.config.compose import compose_tracker

    said: list[str] = []
    sending = Feed(folder, compose_tracker(["tracker=wandb"]), said.append)
    sending.poll()
    assert sending.failing
    assert "tracker=wandb does not take what the runs write" in said[0]


def test_tensorboard_shows_the_settings(folder: Path, tmp_path: Path) -> None:
    need("tensorboard")
    backend = TensorBoardBackend(tmp_path / "events")
    run = RunDir(only_run(folder))
    tracker = start(backend.options, run_subject(run))
    tracker.close("complete")
    assert not (tmp_path / "events").exists(), "nothing is written where there is nothing to say"
    track(folder, backend)
    assert "settings/text_summary" in backend.events().Tags()["tensors"]
