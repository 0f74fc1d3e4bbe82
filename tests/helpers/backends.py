"""Each tracker's back end on this machine, read by its own reader: (step, name, value) of every stored point."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from diffmem.config.compose import compose_tracker
from diffmem.config.tracker import Tracker

Points = list[tuple[int, str, float]]


class Backend:
    """One kind of back end, with what it keeps in `folder`."""

    name: str
    exact = True  # keeps float64
    replaces = False  # takes new values at a step that it has

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def words(self) -> list[str]:
        """As they are typed."""
        return [f"tracker={self.name}"]

    @property
    def options(self) -> Tracker:
        return compose_tracker(self.words)

    def points(self) -> Points:
        """Every scalar there is, with its multiplicity."""
        raise NotImplementedError

    def image_steps(self) -> list[int]:
        """The steps that have a sheet of samples, with their multiplicity."""
        raise NotImplementedError


class TensorBoardBackend(Backend):
    """Read by TensorBoard's event accumulator."""

    name, exact, replaces = "tensorboard", False, True

    @property
    def words(self) -> list[str]:
        return [*super().words, f"tracker.folder={self.folder}"]

    def events(self) -> Any:
        """TensorBoard's reader, with all there is."""
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        (run,) = self.folder.iterdir()
        events = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0})
        events.Reload()
        return events

    def points(self) -> Points:
        events = self.events()
        return [(event.step, tag, event.value) for tag in events.Tags()["scalars"] for event in events.Scalars(tag)]

    def image_steps(self) -> list[int]:
        return [event.step for event in self.events().Images("samples")]


class WandbBackend(Backend):
    """Offline, read by `wandb leet inspect`."""

    name = "wandb"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        os.environ["WANDB_DIR"] = str(folder)

    @property
    def words(self) -> list[str]:
        return [*super().words, "tracker.mode=offline"]

    def _history(self) -> list[dict[str, Any]]:
        found = []
        for file in sorted((self.folder / "wandb").glob("offline-run-*/run-*.wandb")):
            told = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
            lines = subprocess.run(told, capture_output=True, text=True, check=True).stdout.splitlines()
            found += [record["history"]["item"] for record in map(json.loads, lines) if record["type"] == "history"]
        return found

    def points(self) -> Points:
        return [
            (row["_step"], name, value)
            for row in self._history()
            for name, value in row.items()
            if not name.startswith("_") and not name.startswith("samples")
        ]

    def image_steps(self) -> list[int]:
        return [row["_step"] for row in self._history() if any(name.startswith("samples") for name in row)]


class MLflowBackend(Backend):
    """A database in a file, or the server at `address`; read by MLflow's client."""

    name = "mlflow"

    def __init__(self, folder: Path, address: str | None = None) -> None:
        super().__init__(folder)
        self.address = address or f"sqlite:///{folder / 'mlflow.db'}"

    @property
    def words(self) -> list[str]:
        return [*super().words, f"tracker.uri={self.address}"]

    def run(self) -> tuple[Any, Any]:
        """The client, and the one run there is."""
        from mlflow.tracking import MlflowClient

        client = MlflowClient(self.address)
        experiment = client.get_experiment_by_name("diffmem")
        (found,) = client.search_runs([experiment.experiment_id])
        return client, found

    def points(self) -> Points:
        client, run = self.run()
        names = run.data.metrics
        return [
            (point.step, name, point.value)
            for name in names
            for point in client.get_metric_history(run.info.run_id, name)
        ]

    def image_steps(self) -> list[int]:
        client, run = self.run()
        files = client.list_artifacts(run.info.run_id, "samples")
        return [int(Path(file.path).stem.removeprefix("step_")) for file in files]


class TrackioBackend(Backend):
    """trackio's store, read by itself."""

    name = "trackio"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.project = folder.parent.name  # trackio's own folder is fixed when it is imported

    @property
    def words(self) -> list[str]:
        return [*super().words, f"tracker.project={self.project}"]

    def _logs(self) -> list[dict[str, Any]]:
        from trackio import Api
        from trackio.sqlite_storage import SQLiteStorage

        (run,) = Api().runs(self.project)
        return SQLiteStorage.get_logs(self.project, run.name)

    def points(self) -> Points:
        return [
            (log["step"], name, value)
            for log in self._logs()
            for name, value in log.items()
            if name not in ("step", "timestamp", "samples")
        ]

    def image_steps(self) -> list[int]:
        return [log["step"] for log in self._logs() if "samples" in log]


BACKENDS = {kind.name: kind for kind in (TensorBoardBackend, WandbBackend, MLflowBackend, TrackioBackend)}


class MLflowServer:
    """`with MLflowServer(folder) as server:` a tracking server on loopback; `stop` and `start` as often as wanted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        told = ["server", "--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"]
        told += ["--backend-store-uri", f"sqlite:///{self._folder / 'server.db'}"]
        told += ["--artifacts-destination", str(self._folder / "artifacts")]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "mlflow", *told], stdout=log, stderr=log)
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            time.sleep(0.2)
        raise AssertionError("the server does not answer")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def __enter__(self) -> "MLflowServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
