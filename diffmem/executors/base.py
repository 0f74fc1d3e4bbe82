"""Where a sweep's runs go: what an executor promises. Each has a file of its own, named after it.

1. A run is under way at most once at a time: submitted again meanwhile, it gives the same future.
2. A run whose worker is lost is started again and goes on from its last resume point. It is given up after
   `executor.retries` such deaths without a newer resume point; a death after progress does not count.
3. A run that another process works on, such as a worker that outlived its sweep, is waited for, after the others.
4. An interrupt, `close(cancel=True)`, leaves every run at a resume point within the executor's grace time.
5. How a run ended is read from its directory, so a sweep may die and another one go on with its runs.
6. One failing run never stops the others.
7. No more than `capacity` runs are under way at once.

`tests/executors/test_promises.py` tries them on every executor. They rest on what a run is: idempotent, and owner of
its directory.
"""

from concurrent.futures import Future
from importlib import import_module
from types import ModuleType
from typing import Protocol

from diffmem.config.settings import Config
from diffmem.errors import InputError
from diffmem.training.plan import Plan, plan
from diffmem.training.session import Outcome, execute


class Executor(Protocol):
    """Takes runs, and gives back a future of each run's outcome."""

    @property
    def capacity(self) -> int:
        """How many runs can be under way at once."""

    @property
    def lanes(self) -> int:
        """How many of them do not slow one another down: cores or devices, whichever they share."""

    def submit(self, planned: Plan) -> Future[Outcome]:
        """Queue a run. The future raises what the run raised; it is sure to be over when `close` has returned."""

    def close(self, *, cancel: bool = False) -> None:
        """Wait for the runs; with `cancel`, drop what is queued and ask what is under way to leave."""


def start(config: Config) -> Executor:
    """The executor that `config` names, for runs like it: `start(config)` of the module of that name.

    Raises InputError where it is not installed, or cannot take such runs.
    """
    executor: Executor = _module(config).start(config)
    return executor


def width(config: Config) -> tuple[int, int]:
    """The capacity and the lanes that the executor would have: `width(config)` of its module.

    Nothing is started for it, and a cluster is asked only where the settings leave it open. Raises as `start` does.
    """
    found: tuple[int, int] = _module(config).width(config)
    return found


def work(config: Config) -> Outcome:
    """The body of a worker: see the run of `config` through, in this process, from wherever it stands.

    Raises what the run raises: InUse where another process works on it.
    """
    return execute(plan(config))


def _module(config: Config) -> ModuleType:
    name = config.executor.name
    try:
        return import_module(f"diffmem.executors.{name}")
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("diffmem"):
            raise
        raise InputError(
            f"executor={name} needs {error.name}, which is not installed: pip install 'diffmem[{name}]'."
        ) from error
