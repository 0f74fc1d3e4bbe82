"""Executors: where the runs of a sweep go. None of it is hashed."""

import shlex
from dataclasses import dataclass
from typing import ClassVar

from diffmem.arguments import shown
from diffmem.config.options import Variant, option
from diffmem.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ExecutorConfig(Variant):
    """Where a sweep's runs go."""

    name: ClassVar[str]
    tflops: float | None = option(
        above=0, high=1e9, default=None
    )  # that a device sustains, for the time of a plan alone


@dataclass(frozen=True, kw_only=True)
class HereExecutor(ExecutorConfig):
    """A sweep's runs one after another, in its own process."""

    name: ClassVar[str] = "here"


@dataclass(frozen=True, kw_only=True)
class PackExecutor(ExecutorConfig):
    """A sweep's runs of one shape trained together, in its own process."""

    name: ClassVar[str] = "pack"
    workers: int = option(low=1, high=1024)  # runs trained together, at most


@dataclass(frozen=True, kw_only=True)
class PoolExecutor(ExecutorConfig):
    """A sweep's runs in processes of their own."""

    name: ClassVar[str] = "pool"
    workers: int | None = option(low=1, high=1024)  # null: as many as cores (one on a GPU)
    retries: int = option(low=0, high=1000)  # deaths without a newer resume point after which a run is started again


@dataclass(frozen=True, kw_only=True)
class AutoExecutor(ExecutorConfig):
    """`devices` where runs may go to a GPU and this machine has one, else `pool`."""

    name: ClassVar[str] = "auto"
    workers: int | None = option(low=1, high=1024)  # runs at once; null: as of the one it stands for
    retries: int = option(low=0, high=1000)  # as of the pool


@dataclass(frozen=True, kw_only=True)
class DevicesExecutor(ExecutorConfig):
    """A sweep's runs on the GPUs of this machine, several on each where they fit its memory."""

    name: ClassVar[str] = "devices"
    workers: int | None = option(low=1, high=1024)  # runs at once; null: as many as there is room for
    retries: int = option(low=0, high=1000)  # as of the pool
    devices: tuple[int, ...] | None = option(low=0, high=1023, most=1024)  # which GPUs, as torch counts; null: all
    per_device: int | str = option(low=1, high=1024)  # runs that share a GPU; auto: by the memory that they take

    def __post_init__(self) -> None:
        if isinstance(self.per_device, str) and self.per_device != "auto":
            raise InputError(
                f"executor.per_device='{shown(self.per_device)}' is neither a number of runs >= 1 nor the word auto."
            )
        if self.devices is not None and len(set(self.devices)) != max(len(self.devices), 1):
            raise InputError(
                f"executor.devices={list(self.devices)} must name each GPU once, and one at least, such as [0,1]."
            )


@dataclass(frozen=True, kw_only=True)
class SlurmExecutor(ExecutorConfig):
    """A sweep's runs in the tasks of a Slurm job array. Null leaves a choice to the cluster."""

    name: ClassVar[str] = "slurm"
    workers: int = option(low=1, high=100_000)  # tasks of the array; each sees one run after another through
    retries: int = option(low=0, high=1000)  # as of the pool
    partition: str | None
    account: str | None
    time: int = option(
        low=1, high=10**6
    )  # minutes of a task: a run that takes longer is saved and goes on in the next one
    gres: str | None  # such as gpu:1
    cpus: int = option(low=1, high=1024)  # of a task
    mem: str | None  # of a task, such as 8G
    sbatch: str | None  # other options of sbatch as it takes them, such as --qos=long --exclusive
    signal_seconds: int = option(low=1, high=10**6)  # before its time is up, a task saves its run and queues up again
    look_seconds: float = option(above=0, high=3600)  # between questions to Slurm
    python: str | None  # the command that starts Python on a node, such as one inside a container; null: this Python

    def __post_init__(self) -> None:
        if self.signal_seconds >= 60 * self.time:
            raise InputError(
                f"executor.signal_seconds={self.signal_seconds} leaves nothing of executor.time={self.time} min: give "
                "more time, or a shorter warning."
            )
        for word in self.options:
            if not word.startswith("--"):
                raise InputError(
                    f"executor.sbatch={self.sbatch!r}: {word} is no long option: write --name=value or --name, as in "
                    "--qos=long --exclusive."
                )

    @property
    def options(self) -> list[str]:
        """The words of `sbatch`."""
        try:
            return shlex.split(self.sbatch or "")
        except ValueError as error:
            raise InputError(f"executor.sbatch={self.sbatch!r} cannot be read ({error}): close its quotes.") from error


@dataclass(frozen=True, kw_only=True)
class RayExecutor(ExecutorConfig):
    """A sweep's runs as tasks of a Ray cluster."""

    name: ClassVar[str] = "ray"
    address: str | None  # host:port of its head, or auto; null: a cluster of this machine alone, for this sweep
    cpus: int = option(low=1, high=1024)  # that a run takes, and its threads
    per_device: int = option(low=1, high=1024)  # runs that share a GPU, where the cluster has GPUs
    workers: int | None = option(
        low=1, high=100_000
    )  # runs handed out at once; null: as many as the cluster has room for
    retries: int = option(low=0, high=1000)  # as of the pool


Executor = AutoExecutor | DevicesExecutor | HereExecutor | PackExecutor | PoolExecutor | RayExecutor | SlurmExecutor
