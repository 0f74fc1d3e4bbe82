"""One task a run on a Ray cluster: an existing one, or one of this machine alone.

The code is sent to every node, and the settings with each run. Images in files are sent too, once to a node, which
keeps them by their checksum; so only the folder of the runs must be on a disk that all nodes share, and that is asked
of them first. Ray retries nothing: it does not know what progress is. A killed sweep takes its tasks with it.
"""

import json
import math
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray.exceptions import GetTimeoutError, RayError, RayTaskError, RuntimeEnvSetupError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import diffmem
from diffmem.config.data import FileData
from diffmem.config.executor import RayExecutor
from diffmem.config.settings import Config
from diffmem.data import load, receive
from diffmem.data.received import Parcel
from diffmem.errors import InputError, first_line
from diffmem.executors import probe
from diffmem.executors.slots import Slots
from diffmem.store import RunDir
from diffmem.training import machine
from diffmem.training.plan import Plan
from diffmem.training.session import Outcome, execute
from diffmem.training.start import sha256 as weights_sha256

ANSWER_SECONDS = 10.0  # that a cluster has to answer
NODE_SECONDS = 120.0  # that a node has to start a first worker
GRACE_SECONDS = 5.0  # workers asked to leave are killed after this
LOCAL_STORE_BYTES = 100_000_000  # of a cluster of this machine, to which no images are sent

# Whether a cluster answers is found out by a process that can be given up: the library tries for minutes.
CONNECT = "import sys, ray; print(flush=True); ray.init(sys.argv[1], logging_level='ERROR', log_to_driver=False)"


class _Tasks:
    """A task for each worker."""

    def __init__(self, cpus: int, gpus: float, send: bool) -> None:
        self._cpus, self._send = cpus, send
        self._start = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_work).remote
        self._sent: dict[str, tuple[Parcel, ray.ObjectRef]] = {}
        self._running: set[ray.ObjectRef] = set()
        self._guard = threading.Lock()
        self._leaving = False

    def live(self, planned: Plan, place: object) -> Outcome | None:
        config = planned.config if planned.config.threads else replace(planned.config, threads=self._cpus)
        run = RunDir(planned.run.path.absolute())
        with self._guard:
            if self._leaving:
                return None
            task = self._start(Plan(config, run), self._parcel(config))
            self._running.add(task)
        try:
            result: Outcome | Exception | None = ray.get(task)
        except (RayTaskError, RuntimeEnvSetupError, TaskUnschedulableError):
            raise
        except RayError:
            result = None
        finally:
            with self._guard:
                self._running.discard(task)
        if isinstance(result, Exception):
            raise result
        return result

    def leave(self) -> None:
        with self._guard:
            self._leaving = True
            running = list(self._running)
        for task in running:
            ray.cancel(task)
        _, left = ray.wait(running, num_returns=len(running), timeout=GRACE_SECONDS) if running else ([], [])
        for task in left:
            ray.cancel(task, force=True)

    def _parcel(self, config: Config) -> tuple[Parcel, list[ray.ObjectRef]] | None:
        """The images of a run, where they are to be sent: a list, so that a node that has them fetches nothing."""
        if not (self._send and isinstance(config.data, FileData)):
            return None
        dataset = load(config.data)
        if dataset.sha256 not in self._sent:
            self._sent[dataset.sha256] = Parcel.of(dataset), ray.put(np.asarray(dataset.stored))
        parcel, images = self._sent[dataset.sha256]
        return parcel, [images]


def _work(planned: Plan, sent: tuple[Parcel, list[Any]] | None) -> Outcome | Exception:
    """The body of a worker."""
    config = planned.config
    try:
        if sent is not None:
            parcel, (images,) = sent
            receive(config.data, parcel.unpack(lambda: ray.get(images)))
        if config.run_id(load(config.data).sha256, weights_sha256(config)) != planned.run.name:
            raise InputError(
                f"data={config.data.name}, or train.init, is not on {socket.gethostname()} what it is where the sweep "
                "began."
            )
        return execute(planned)
    except Exception as error:
        return error


def _answer(question: probe.Question) -> str | None:
    return question.trouble()


def start(config: Config) -> Slots:
    """As many runs at once as are asked for, else as the cluster has room for.

    Raises InputError where the cluster does not answer or has no room for one, or a node does not see the runs' folder.
    """
    options = _options(config)
    nodes = _nodes(options.address)
    has = [node["Resources"] for node in nodes]
    room = _all_room(config, has)
    _ask_all(nodes, Path(config.out_folder))
    tasks = _Tasks(options.cpus, _gpus(config, has), send=options.address is not None)
    return Slots(tasks, options.workers or room, options.retries)


def width(config: Config) -> tuple[int, int]:
    """A cluster is asked where its room decides; what one of this machine alone would have is known without it."""
    options = _options(config)
    if options.workers is not None:
        return (options.workers,) * 2
    if options.address is None:
        has = [{"CPU": float(machine.cores()), "GPU": float(torch.cuda.device_count())}]
    else:
        has = [node["Resources"] for node in _nodes(options.address)]
    return (_all_room(config, has),) * 2


def _options(config: Config) -> RayExecutor:
    options = config.executor
    assert isinstance(options, RayExecutor)
    return options


def _nodes(address: str | None) -> list[dict[str, Any]]:
    """The nodes of the cluster, which this process joins."""
    if not ray.is_initialized():
        _connect(address)
    return [node for node in ray.nodes() if node["Alive"]]


def _connect(address: str | None) -> None:
    state = {machine.SENT_STATE: json.dumps(machine.git_state())}
    code = {"py_modules": [diffmem], "excludes": ["__pycache__"], "env_vars": state}
    common: dict[str, Any] = {"runtime_env": code, "logging_level": "ERROR"}
    if address is None:
        common |= {"include_dashboard": False, "object_store_memory": LOCAL_STORE_BYTES}
    else:
        _check_answer(address)
    try:
        ray.init(address or "local", **common)
    except Exception as error:  # of any kind
        raise InputError(
            f"executor=ray: no cluster was started or joined ({first_line(error)}): try again when the machine is less "
            "busy, or start one with `ray start --head` and give executor.address=auto."
        ) from error


def _check_answer(address: str) -> None:
    """Raises InputError where no cluster at `address` lets this machine in."""
    fix = "name its head as host:port, and start the sweep on a machine that is a node of it (ray start --address=...)."
    with subprocess.Popen(
        [sys.executable, "-c", CONNECT, address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as trial:
        assert trial.stdout is not None
        trial.stdout.readline()  # ray is imported
        try:
            _, errors = trial.communicate(timeout=ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            trial.kill()
            raise InputError(
                f"executor.address={address}: no Ray cluster answered within {ANSWER_SECONDS:.0f} s: {fix}"
            ) from None
    if trial.returncode != 0:
        said = errors.strip().splitlines() or ["it does not say why"]
        raise InputError(f"executor.address={address} cannot be joined ({said[-1]}): {fix}")


def _gpus(config: Config, has: Sequence[Mapping[str, float]]) -> float:
    """The share of a GPU that a run asks for. Raises InputError where it must have one and no node has any."""
    if config.device == "cpu":
        return 0.0
    if any(resources.get("GPU") for resources in has):
        return 1.0 / _options(config).per_device
    if config.device == "auto":
        return 0.0
    raise InputError(f"device={config.device} is asked for and no node of the Ray cluster has a GPU: use device=auto.")


def _all_room(config: Config, has: Sequence[Mapping[str, float]]) -> int:
    """How many runs fit the nodes at once. Raises InputError where none does."""
    cpus, gpus = _options(config).cpus, _gpus(config, has)
    room = sum(_room(resources, cpus, gpus) for resources in has)
    if room == 0:
        most = max(resources.get("CPU", 0) for resources in has)
        raise InputError(
            f"executor.cpus={cpus}: no node of the cluster has as many (the largest has {most:.0f}): ask for fewer, or "
            "add a node."
        )
    return room


def _room(has: Mapping[str, float], cpus: int, gpus: float) -> int:
    """How many runs fit a node at once."""
    by_cpu = int(has.get("CPU", 0) // cpus)
    return min(by_cpu, math.floor(has.get("GPU", 0) + 1e-6) * round(1 / gpus)) if gpus else by_cpu


def _ask_all(nodes: Sequence[dict[str, Any]], out: Path) -> None:
    """Raise InputError where a node does not see or cannot write the folder of the runs, or cannot run this code."""
    answer = ray.remote(num_cpus=0, max_retries=0)(_answer)
    with probe.question(out) as question:
        asked = []
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = answer.options(scheduling_strategy=there).remote(question)
            asked.append((f"node {node['NodeManagerAddress']}", task))
        found = dict(filter(None, (_said(name, task) for name, task in asked)))
    probe.check(out, found)


def _said(name: str, task: ray.ObjectRef) -> tuple[str, str | None] | None:
    """What a node answered; None where it is lost, which the cluster may find out only by asking it."""
    try:
        return name, ray.get(task, timeout=NODE_SECONDS)
    except GetTimeoutError as error:
        raise InputError(
            f"executor=ray: {name} started no worker within {NODE_SECONDS:.0f} s: look into its logs, or take it out "
            "of the cluster."
        ) from error
    except (RayTaskError, RuntimeEnvSetupError) as error:
        last = str(error).strip().splitlines()[-1]
        raise InputError(
            f"executor=ray: {name} cannot run this code ({last}): use the same environment on every node."
        ) from error
    except RayError:
        return None
