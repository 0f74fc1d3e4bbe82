"""One process a run, as many at once as there are cores (one on a GPU), each with one thread.

Small models run fastest so: two processes of one thread beat one of two. Processes come from a server that has torch
loaded, so a run starts at once. A worker that is killed takes nobody with it: its run is started again and resumes.
"""

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from signal import SIGTERM

from diffmem.config.settings import Config, PoolExecutor
from diffmem.training.machine import resolve_device
from diffmem.training.plan import plan
from diffmem.training.session import Outcome, execute

# what a run imports, seconds in all: the server has it loaded before it forks
PRELOAD = [
    "diffmem.executors.pool",
    "diffusers.models.unets.unet_2d",
    "diffusers.schedulers.scheduling_ddim",
]
LEAVE_SECONDS = 5.0  # a worker asked to leave is killed after this


class WorkerDied(RuntimeError):
    """A worker process ended without an outcome, more often than it may be started again."""


class Pool:
    """Runs in processes of their own. `close(cancel=True)` leaves within seconds, each run at a resume point."""

    def __init__(self, workers: int, retries: int) -> None:
        self.capacity = workers
        self._retries = retries
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)
        self._threads = ThreadPoolExecutor(workers)
        self._running: set[BaseProcess] = set()
        self._guard = threading.Lock()
        self._cancelled = False

    def submit(self, config: Config) -> Future[Outcome]:
        config = config if config.threads else replace(config, threads=1)
        return self._threads.submit(self._run, config)

    def close(self, *, cancel: bool = False) -> None:
        if cancel:
            with self._guard:
                self._cancelled = True
                running = list(self._running)
            for process in running:
                process.terminate()
            for process in running:
                process.join(LEAVE_SECONDS)
                process.kill()
        self._threads.shutdown(wait=True, cancel_futures=cancel)

    def _run(self, config: Config) -> Outcome:
        for _ in range(self._retries + 1):
            outcome = self._run_once(config)
            if outcome is not None:
                return outcome
            if self._cancelled:
                return Outcome("interrupted", "it was stopped: the same command goes on")
        raise WorkerDied(f"its worker died {self._retries + 1} times (out of memory?)")

    def _run_once(self, config: Config) -> Outcome | None:
        """The run's outcome, or None where its process died without one."""
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_work, args=(config, sender), name=f"run n={config.data.n}")
        with self._guard:
            if self._cancelled:
                return None
            process.start()
            self._running.add(process)
        sender.close()
        try:
            result = receiver.recv()
        except EOFError:
            result = None
        process.join()
        with self._guard:
            self._running.discard(process)
        if isinstance(result, Exception):
            raise result
        return result


def _work(config: Config, sender: Connection) -> None:
    """The body of a worker process."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        sender.send(execute(plan(config)))
    except Exception as error:
        sender.send(error)


def _leave_with_parent() -> None:
    """A worker whose sweep was killed leaves too, at a resume point, and frees its run."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), SIGTERM)


def start(config: Config) -> Pool:
    """As many workers as are asked for, else as there are cores (one on a GPU)."""
    options = config.executor
    assert isinstance(options, PoolExecutor)
    return Pool(options.workers or _default_workers(config), options.retries)


def _default_workers(config: Config) -> int:
    if resolve_device(config.device).type != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
