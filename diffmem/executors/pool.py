"""One process a run, as many at once as there are cores (one on a GPU), each with one thread.

Small models run fastest so: two processes of one thread beat one of two. Processes come from a server that has torch
loaded, so a run starts at once. A worker that is killed takes nobody with it: its run is started again and resumes.
"""

import contextlib
import os
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from signal import SIG_BLOCK, SIGINT, SIGTERM, pthread_sigmask

from diffmem.config.executor import PoolExecutor
from diffmem.config.settings import Config
from diffmem.executors.base import work
from diffmem.executors.slots import Slots
from diffmem.training import machine
from diffmem.training.plan import Plan
from diffmem.training.session import Outcome

# what a run imports, seconds in all: the server has it loaded before it forks
PRELOAD = [
    "diffmem.executors.pool",
    "diffusers.models.unets.unet_2d",
    "diffusers.schedulers.scheduling_ddim",
]
GRACE_SECONDS = 5.0  # workers asked to leave are killed after this


class _Processes:
    """A process for each worker, which answers through a pipe with its outcome or its error."""

    def __init__(self) -> None:
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)
        self._running: set[BaseProcess] = set()
        self._waiting: set[Future[bool]] = set()  # for a process to be started
        self._guard = threading.Lock()
        self._leaving = False

    def live(self, planned: Plan, place: object) -> Outcome | None:
        config = planned.config if planned.config.threads else replace(planned.config, threads=1)
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_work, args=(config, sender), name=planned.run.name)
        if not self._started(process):
            return None
        sender.close()
        try:
            result: Outcome | Exception | None = receiver.recv()
        except EOFError:
            result = None
        process.join()
        with self._guard:
            self._running.discard(process)
        if isinstance(result, Exception):
            raise result
        return result

    def _started(self, process: BaseProcess) -> bool:
        """Whether `process` was started before all were asked to leave: the server answers when it has torch loaded."""
        answer: Future[bool] = Future()
        with self._guard:
            self._waiting.add(answer)
        threading.Thread(target=self._start, args=(process, answer), daemon=True).start()
        return answer.result()

    def _start(self, process: BaseProcess, answer: Future[bool]) -> None:
        resource_tracker.ensure_running()  # first, since it unblocks what is blocked before the server starts
        pthread_sigmask(SIG_BLOCK, {SIGINT})  # of this thread, and so of the server: Ctrl-C is for the sweep alone
        failure: Exception | None = None
        try:
            if not self._leaving:
                process.start()
        except Exception as error:
            failure = error
        with self._guard:
            self._waiting.discard(answer)
            started = process.pid is not None
            if started and self._leaving:
                process.terminate()
            elif started:
                self._running.add(process)
            if failure is not None and not answer.done():
                answer.set_exception(failure)
            elif not answer.done():
                answer.set_result(started and not self._leaving)

    def leave(self) -> None:
        with self._guard:
            self._leaving = True
            running = list(self._running)
            for answer in self._waiting:
                answer.set_result(False)
            self._waiting.clear()
        for process in running:
            process.terminate()
        last = time.monotonic() + GRACE_SECONDS
        for process in running:
            process.join(max(last - time.monotonic(), 0))
            process.kill()


def _work(config: Config, sender: Connection) -> None:
    """The body of a worker process."""
    os.setsid()  # Ctrl-C is for the sweep, which asks its workers to leave
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    result: Outcome | Exception
    try:
        result = work(config)
    except Exception as error:
        result = error
    with contextlib.suppress(BrokenPipeError):  # the sweep was killed: the run's directory says how it ended
        sender.send(result)


def _leave_with_parent() -> None:
    """A worker whose sweep was killed leaves too, at a resume point, and frees its run."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), SIGTERM)


def start(config: Config) -> Slots:
    return Slots(_Processes(), width(config)[0], _options(config).retries)


def width(config: Config) -> tuple[int, int]:
    """As many workers as are asked for, else as there are cores (one on a GPU)."""
    default = 1 if machine.resolve_device(config.device).type != "cpu" else machine.cores()
    return (_options(config).workers or default,) * 2


def _options(config: Config) -> PoolExecutor:
    options = config.executor
    assert isinstance(options, PoolExecutor)
    return options
