"""GPUs that are not there, for executor=devices: its workers see their names and train on the CPU.

What happens on them is written in `pretended.json` in the folder of the runs, and what workers saw is told in
`workers.jsonl` there, a line when one begins and a line when it ends.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import torch

from diffmem.config.settings import Config
from diffmem.executors import devices
from diffmem.training import footprint, session
from diffmem.training.machine import Gpu

COUNT = "PRETENDED_GPUS"  # environment variable, for a sweep in a process of its own
OPTIONS = {"name": "devices", "workers": None, "retries": 1, "devices": None, "per_device": 2}
GIB = 2**30
MEMORY = 10 * GIB  # of which 9 are for runs


def gpus(count: int) -> list[Gpu]:
    return [Gpu(f"pretended-{index}", MEMORY) for index in range(count)]


@contextlib.contextmanager
def stand(count: int = 1) -> Iterator[None]:
    """This process, and the sweeps it starts, have so many."""
    with (
        mock.patch.dict(os.environ, {COUNT: str(count)}),
        mock.patch.object(devices, "chosen", return_value=gpus(count)),
        mock.patch.object(devices, "on_device", on_device),
    ):
        yield


def stand_if_asked() -> contextlib.AbstractContextManager[None]:
    return stand(int(os.environ[COUNT])) if COUNT in os.environ else contextlib.nullcontext()


def script(out: Path, **what: Any) -> None:
    """What happens.

    `bytes` that runs of each width take, `bad` GPUs, `hungry` seeds and how often each runs out of memory, and how many
    runs must have begun, to `meet`, before one goes on.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "pretended.json").write_text(json.dumps(what))


def seen(out: Path) -> list[dict[str, Any]]:
    """What each worker told: its run (None: it measured) and `gpu`, when it began and when it ended."""
    lines = [json.loads(line) for line in (out / "workers.jsonl").read_text().splitlines()]
    ends = {line["pid"]: line["end"] for line in lines if "end" in line}
    return [{**line, "end": ends.get(line["pid"])} for line in lines if "begin" in line]


def on_device(function: Callable[[Config], Any], config: Config) -> Any:
    """In a worker, in the place of `devices.on_device`."""
    out, gpu, pid = Path(config.out_folder), os.environ["CUDA_VISIBLE_DEVICES"], os.getpid()
    what = json.loads((out / "pretended.json").read_text()) if (out / "pretended.json").exists() else {}
    if gpu in what.get("bad", []):
        raise devices.BadDevice("it has fallen off the bus")
    measuring = function is footprint.measure
    run = None if measuring else f"n{config.data.n}-w{config.model.width}-s{config.seed}"
    earlier = [worker for worker in seen(out) if worker["run"] == run] if (out / "workers.jsonl").exists() else []
    before_python = Path("/proc/self/environ").read_bytes().split(b"\0")
    first = f"CUDA_VISIBLE_DEVICES={gpu}".encode() in before_python
    _tell(out, {"pid": pid, "run": run, "gpu": gpu, "from_the_first": first, "begin": time.monotonic()})
    try:
        if measuring:
            return _measured(what, config)
        _meet(out, what.get("meet", 0))
        if len(earlier) < what.get("hungry", {}).get(str(config.seed), 0):
            vars(session)["initial_state"] = _no_memory  # of this worker alone
        return function(config)
    finally:
        _tell(out, {"pid": pid, "end": time.monotonic()})


def _meet(out: Path, count: int) -> None:
    last = time.monotonic() + 60
    while sum(worker["run"] is not None for worker in seen(out)) < count:
        assert time.monotonic() < last, "they are not there at once"
        time.sleep(0.02)


def _measured(what: dict[str, Any], config: Config) -> int:
    taken: int = what["bytes"][str(config.model.width)]
    return taken


def _no_memory(*_: object) -> NoReturn:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def _tell(out: Path, line: dict[str, Any]) -> None:
    with (out / "workers.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
