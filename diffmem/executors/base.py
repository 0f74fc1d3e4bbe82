"""Where a sweep's runs go: what an executor promises. Each has a file of its own, named after it.

A run is idempotent and owns its directory, so an executor may lose a worker and start the run again: it goes on
from its last resume point.
"""

from concurrent.futures import Future
from importlib import import_module
from typing import Protocol

from diffmem.config.settings import Config
from diffmem.training.session import Outcome


class Executor(Protocol):
    """Takes runs, and gives back a future of each run's outcome."""

    @property
    def capacity(self) -> int:
        """How many runs can be under way at once."""

    def submit(self, config: Config) -> Future[Outcome]:
        """Queue a run. The future raises what the run raised."""

    def close(self, *, cancel: bool = False) -> None:
        """Wait for the runs; with `cancel`, drop what is queued and ask what is running to leave."""


def start(config: Config) -> Executor:
    """The executor that `config` names, for runs like it: `start(config)` of the module of that name."""
    executor: Executor = import_module(f"diffmem.executors.{config.executor.name}").start(config)
    return executor
