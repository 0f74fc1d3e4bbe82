"""MLflow: a tracking server, or a store on this machine.

A run there is found again by a tag. Its metrics only grow, so the steps of the last metric of a point say which points
are there.
"""

import logging
import os
import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from diffmem.config.tracker import MLflowTracker
from diffmem.errors import InputError
from diffmem.trackers.base import Point, Subject, flat

TAG = "diffmem.run"
SERVERS = ("http", "https", "databricks")
ENDED = {
    "complete": "FINISHED",
    "stopped": "FINISHED",
    "diverged": "FAILED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
SECONDS = "10"  # that a request may take


def check(options: MLflowTracker) -> None:
    """Raise InputError where a store on this machine is asked for and only MLflow's client is installed."""
    address = options.uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not _is_server(address) and find_spec("sqlalchemy") is None:
        raise InputError(
            f"tracker.uri={address or 'null'} is a store on this machine, which takes the whole of MLflow: pip install "
            "mlflow, or name a server, such as tracker.uri=http://127.0.0.1:5000."
        )


def start(options: MLflowTracker, subject: Subject) -> "MLflow":
    return MLflow(options, subject)


class MLflow:
    """One run of an experiment."""

    def __init__(self, options: MLflowTracker, subject: Subject) -> None:
        for name, value in (("MAX_RETRIES", "1"), ("TIMEOUT", SECONDS)):
            os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{name}", value)
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table that it makes
        self._metric = Metric
        place = subject.folder.resolve()
        address = options.uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._client = MlflowClient(address or f"sqlite:///{place / 'mlflow.db'}")
        artifacts = None if _is_server(address) else (place / "mlartifacts").as_uri()  # else beside whoever calls
        experiment = self._experiment(options.experiment, artifacts)
        self._id = self._run(experiment, subject, place.name)
        there = self._client.get_run(self._id).data.params
        params = [Param(name, str(value)) for name, value in flat(subject.settings).items() if name not in there]
        if params:
            self._client.log_batch(self._id, params=params)
        self._known: set[int] | None = None

    def missing(self, points: Sequence[Point]) -> list[Point]:
        if self._known is None:
            history = self._client.get_metric_history(self._id, points[0].marker)
            self._known = {metric.step for metric in history}
        known = self._known
        return [point for point in points if point.step not in known]

    def send(self, point: Point) -> None:
        for name, image in point.images().items():
            self._client.log_image(self._id, image, artifact_file=f"{name}/step_{point.step:08d}.png")
        now = int(1000 * time.time())
        self._client.log_batch(
            self._id, metrics=[self._metric(name, value, now, point.step) for name, value in point.values.items()]
        )
        assert self._known is not None
        self._known.add(point.step)

    def flush(self) -> None:
        """Each request was answered."""

    def close(self, status: str) -> None:
        if status in ENDED:
            self._client.set_terminated(self._id, ENDED[status])

    def _experiment(self, name: str, artifacts: str | None) -> str:
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name, artifacts))

    def _run(self, experiment: str, subject: Subject, family: str) -> str:
        """The id of the subject's run, made where there is none."""
        found: list[Any] = self._client.search_runs([experiment], f"tags.`{TAG}` = '{subject.key}'", max_results=1)
        if found:
            self._client.update_run(found[0].info.run_id, status="RUNNING")
            return str(found[0].info.run_id)
        tags = {TAG: subject.key, "diffmem.folder": family}
        return str(self._client.create_run(experiment, tags=tags, run_name=subject.name).info.run_id)


def _is_server(address: str | None) -> bool:
    """Whether the address, None for the database beside the runs, is not a store on this machine."""
    return address is not None and address.partition(":")[0] in SERVERS
