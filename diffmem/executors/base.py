"""Where a sweep's runs go. An executor has one face, `submit(config) -> Future[Outcome]`, and one file each.

A run is idempotent and owns its directory, so an executor may lose a worker and start the run again: it goes on
from its last resume point.
"""

from collections.abc import Callable
from concurrent.futures import Future
from importlib import import_module
from typing import Protocol

from diffmem.config.settings import Config, ExecutorConfig
from diffmem.training.session import Outcome


class Executor(Protocol):
    """Takes runs, and gives back a future of each run's outcome."""

    def submit(self, config: Config) -> Future[Outcome]:
        """Queue a run. The future raises what the run raised."""

    def close(self, *, cancel: bool = False) -> None:
        """Wait for the runs; with `cancel`, drop what is queued and ask what is running to leave."""


EXECUTORS = {"here": "Here", "pool": "Pool"}


def start(config: ExecutorConfig) -> Executor:
    """The executor that `config` names; only its own module is imported."""
    module = import_module(f"diffmem.executors.{config.name}")
    make: Callable[[ExecutorConfig], Executor] = getattr(module, EXECUTORS[config.name])
    return make(config)
