"""The GPUs of this machine, several runs on each where they fit, each run in a process that sees its GPU alone.

What a run takes is measured in a process of its own, three steps for each shape of runs (`shares.py`). A run that comes
to the end of the memory beside others is run again with a GPU to itself; one that does so alone has failed. A GPU that
cannot be opened is left out, and its runs go to the others.
"""

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from diffmem import memory
from diffmem.config.executor import DevicesExecutor
from diffmem.config.settings import Config
from diffmem.errors import InputError, first_line
from diffmem.executors import base
from diffmem.executors.server import Workers
from diffmem.executors.shares import Share, Shares
from diffmem.executors.slots import Elsewhere, Slots
from diffmem.training import budget, footprint, machine
from diffmem.training.machine import Gpu
from diffmem.training.plan import Plan
from diffmem.training.session import Outcome

GRACE_SECONDS = 5.0  # workers asked to leave are killed after this
ALONE = "out of memory beside other runs: it is run again, alone on a device"


class BadDevice(RuntimeError):
    """The GPU cannot be opened; the message says why."""


class _Gpus:
    """A process for each worker, on the GPU of its share."""

    def __init__(self, shares: Shares, threads: int) -> None:
        self._shares, self._threads = shares, threads
        self._workers = Workers()
        self._broken: dict[str, str] = {}

    def live(self, planned: Plan, share: Share) -> Outcome | None:
        gpu = share.gpu
        if gpu is None:
            name, why = next(iter(self._broken.items()))
            raise BadDevice(f"no GPU is left that works (cuda:{name}: {why})")
        config = planned.config if planned.config.threads else replace(planned.config, threads=self._threads)
        try:
            if share.measured is not None:
                self._measure(config, gpu, share)
                raise Elsewhere
            return self._work(planned, config, gpu, share)
        except BadDevice as error:
            self._leave_out(gpu, str(error))
            raise Elsewhere from error

    def leave(self) -> None:
        self._workers.leave(GRACE_SECONDS)

    def _work(self, planned: Plan, config: Config, gpu: Gpu, share: Share) -> Outcome | None:
        before = planned.run.read_status()
        try:
            outcome: Outcome | None = self._workers.call(gpu.name, on_device, base.work, config)
        except memory.OutOfMemory as error:
            if share.alone:
                raise memory.OutOfMemory(f"{error}; it was alone there") from error
            self._shares.set_alone(planned)
            with contextlib.suppress(OSError, InputError), planned.run.lock():
                planned.run.write_status({**before, "status": "queued", "why": ALONE})
            raise Elsewhere from error
        return outcome

    def _measure(self, config: Config, gpu: Gpu, share: Share) -> None:
        """Have the shape of the run measured. Whatever hinders that will be said by the run itself, alone on a GPU."""
        try:
            taken = self._workers.call(gpu.name, on_device, footprint.measure, config)
        except BadDevice:
            raise
        except memory.OutOfMemory:
            taken = None
        except Exception:  # the run meets it too, alone on a GPU, and ends with its words
            taken = float("inf")
        self._shares.learn(share, taken)

    def _leave_out(self, gpu: Gpu, why: str) -> None:
        self._broken[gpu.name] = why
        if self._shares.drop(gpu):
            warnings.warn(f"cuda:{gpu.name} is left out, since it cannot be opened: {why}", stacklevel=2)


def on_device(function: Callable[[Config], Any], config: Config) -> Any:
    """`function(config)`, in a worker that sees one GPU. Raises BadDevice and OutOfMemory."""
    try:
        torch.zeros(1, device="cuda")
    except (RuntimeError, AssertionError) as error:
        raise machine.out_of_memory(error, config, "the GPU") or BadDevice(first_line(error)) from error
    try:
        return function(config)
    except Exception as error:
        if no_memory := machine.out_of_memory(error, config, "the GPU"):
            raise no_memory from error
        raise


def start(config: Config) -> Slots:
    """As many runs at once as fit the GPUs, and no more than there are cores, unless that many are asked for.

    Nothing is started before the first run. Raises InputError where there is no such GPU, or none with such room.
    """
    options = config.executor
    assert isinstance(options, DevicesExecutor)
    gpus = chosen(config)
    per_device = None if isinstance(options.per_device, str) else options.per_device
    most = per_device or max(machine.cores() // len(gpus), 1)
    if per_device is not None:
        _check_room(config, gpus, per_device)
    capacity = min(options.workers or most * len(gpus), most * len(gpus))
    shares = Shares(gpus, most, per_device)
    engine = _Gpus(shares, threads=max(machine.cores() // capacity, 1))
    return Slots(engine, capacity, options.retries, lanes=min(len(gpus), capacity), room=shares)


def width(config: Config) -> tuple[int, int]:
    executor = start(config)
    return executor.capacity, executor.lanes


def chosen(config: Config) -> list[Gpu]:
    """The GPUs that the sweep of `config` uses. Raises InputError where it cannot, with what to use instead."""
    options = config.executor
    assert isinstance(options, DevicesExecutor)
    there = machine.gpus()
    if config.device not in ("auto", "cuda"):
        raise InputError(
            f"executor=devices spreads runs over GPUs, and device={config.device}: use device=auto (and "
            "executor.devices=[1] for one of them), or executor=pool."
        )
    if not there:
        raise InputError("executor=devices: this machine has 0 GPUs that torch can use: use executor=pool.")
    wanted = range(len(there)) if options.devices is None else options.devices
    missing = [index for index in wanted if index >= len(there)]
    if missing:
        raise InputError(
            f"executor.devices={list(wanted)}: there is no GPU {missing[0]}, this machine has {len(there)}: use "
            f"numbers from 0 to {len(there) - 1}, or null for all."
        )
    return [there[index] for index in wanted]


def _check_room(config: Config, gpus: list[Gpu], per_device: int) -> None:
    """Raise InputError where so many runs take more memory than a GPU has, counted from below."""
    smallest = min(gpus, key=lambda gpu: gpu.memory)
    one = sum(budget.in_training(config).values())
    if per_device * one > smallest.memory:
        raise InputError(
            f"executor.per_device={per_device}: so many runs take at least {memory.gib(per_device * one)} and "
            f"cuda:{smallest.name} has {memory.gib(smallest.memory)}: use {max(int(smallest.memory // one), 1)} or "
            "fewer, or auto."
        )
