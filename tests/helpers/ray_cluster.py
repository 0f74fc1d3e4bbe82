"""A Ray cluster of two nodes, each a family of processes on this machine with an address of its own."""

import contextlib
import importlib.util
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from tests.helpers import processes

OWN = f"127.{os.getpid() // 250 % 250}.{os.getpid() % 250}"  # of this process: clusters side by side share no port
HEAD, NODE = f"{OWN}.2", f"{OWN}.3"
PATIENCE_SECONDS = 240
ATTEMPTS = 3
FORGET_SECONDS = 30  # in which a head finds out that a node is gone that had only half started
STARTED = "Ray runtime started"
OPTIONS = {"name": "ray", "address": None, "cpus": 1, "per_device": 1, "workers": None, "retries": 1}


class TwoNodes:
    """The head, and one node that can be lost and put back. One run at a time fits each."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, _free_port()
        self._sockets = tempfile.TemporaryDirectory(prefix="ray-")  # not in `folder`: a socket's path must be short
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def options(self) -> Mapping[str, Any]:
        """Of `executor`, for runs on this cluster."""
        return {**OPTIONS, "address": f"{HEAD}:{self._port}"}

    def cache(self, ip: str) -> Path:
        """Where a node keeps what it prepares."""
        return self._folder / f"cache-{ip}"

    def start_head(self) -> None:
        place = ["--include-dashboard=false", f"--temp-dir={self._sockets.name}"]
        self._start(HEAD, ["--head", f"--port={self._port}", *place])

    def start_node(self, *through: str) -> None:
        """Start the second node, by the command `through` where one is given."""
        self._start(NODE, [f"--address={HEAD}:{self._port}"], through)

    def _start(self, ip: str, words: list[str], through: tuple[str, ...] = ()) -> None:
        """Raises AssertionError where a node does not start in several attempts: a busy machine may take them."""
        for _ in range(ATTEMPTS):
            log = self._attempt(ip, words, through)
            if STARTED in log.read_text():
                return
            processes.kill(processes.family(self._started[ip].pid))
            self._started.pop(ip).wait()
            Path(self._sockets.name, "ray_current_cluster").unlink(missing_ok=True)
            time.sleep(FORGET_SECONDS)
        raise AssertionError(f"the node {ip} did not start: {log.read_text()[-2000:]}")

    def _attempt(self, ip: str, words: list[str], through: tuple[str, ...]) -> Path:
        """Start the node, and wait until its log says that it has, or it has ended."""
        ray = [*through, str(Path(sys.executable).with_name("ray")), "start", "--block", f"--node-ip-address={ip}"]
        log = self._folder / f"{ip}-{secrets.token_hex(2)}.log"
        with log.open("wb") as file:
            self._started[ip] = subprocess.Popen(
                [*ray, "--num-cpus=1", "--object-store-memory=100000000", *words],
                env={**os.environ, "DIFFMEM_CACHE": str(self.cache(ip))},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        for _ in range(PATIENCE_SECONDS):
            if STARTED in log.read_text() or self._started[ip].poll() is not None:
                break
            time.sleep(1)
        return log

    def lose_node(self) -> None:
        """All processes of the second node die at once."""
        lost = self._started.pop(NODE)
        processes.kill(processes.family(lost.pid))
        lost.wait()

    def stop(self) -> None:
        """By the ids of what was started here: the node, then the head."""
        for started in reversed(self._started.values()):
            members = processes.family(started.pid)
            started.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(20)
            processes.kill(members)
            started.wait()
        self._sockets.cleanup()


@contextlib.contextmanager
def two_nodes(folder: Path) -> Iterator[TwoNodes]:
    """Both nodes up, this process and its children allowed in, and all down again at the end."""
    cluster = TwoNodes(folder)
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    with mock.patch.dict(os.environ, token):
        try:
            cluster.start_head()
            cluster.start_node()
            yield cluster
        finally:
            leave()
            cluster.stop()


def leave() -> None:
    """Disconnect this process from whatever cluster it is in."""
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()


def is_installed() -> bool:
    return importlib.util.find_spec("ray") is not None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HEAD, 0))
        port: int = probe.getsockname()[1]
        return port
