"""Rows made by a second process, from the checkpoints of a run that trains on meanwhile (`eval.background`).

The run's process writes checkpoints and tells their steps; the other one makes the row of each, in that order, and
tells it. A row depends on its checkpoint alone, so it is the one that the run's own process would have made. Where a
row ends the run by the rule of `stop`, no later one is made, and the run cuts back to its step.

Both speak in lines of JSON: settings and then steps go in, rows come out. The second process leaves where its input
ends, which it does when the first one dies; what was half done is made again by whoever goes on with the run.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple

from diffmem.config.settings import Config
from diffmem.data import load, split
from diffmem.store import RunDir
from diffmem.training import machine
from diffmem.training.initial import Diverged
from diffmem.training.rows import Rows
from diffmem.training.stop import stopped

END_SECONDS = 5.0  # until a process that does not leave is killed


class Made(NamedTuple):
    """A row that the second process has written, and the seconds that it took."""

    row: dict[str, Any]
    seconds: float


class Background:
    """The second process, as the run's own one sees it; it lives while the block does.

    `waiting` holds the steps whose rows it has been asked for and has not made.
    """

    def __init__(self, config: Config, run: RunDir) -> None:
        self.waiting: set[int] = set()
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._first = json.dumps({"run": str(run.path), "settings": config.to_mapping(), "threads": config.threads})

    def __enter__(self) -> "Background":
        command = [sys.executable, "-m", __name__]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._listener = threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._listener.start()
        self._say(self._first)
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def ask(self, step: int) -> None:
        """Have the row of the checkpoint of `step` made."""
        self.waiting.add(step)
        self._say(str(step))

    @property
    def has_news(self) -> bool:
        return not self._answers.empty()

    def made(self, seconds: float = 0.0) -> list[Made]:
        """The rows that were made since, waiting up to `seconds` for one.

        Raises Diverged where samples of a checkpoint are not finite, RuntimeError where the process is gone.
        """
        found: list[Made] = []
        while not found or self.has_news:
            try:
                answer = self._answers.get(timeout=seconds) if seconds and not found else self._answers.get_nowait()
            except queue.Empty:
                break
            if answer is None:
                raise RuntimeError(
                    f"the process that makes the rows (eval.background) ended with code {self._process.wait()}"
                )
            if "diverged" in answer:
                raise Diverged(answer["diverged"], "the samples")
            self.waiting.discard(answer["row"]["step"])
            found.append(Made(**answer))
        return found

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `made` says so
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _listen(self, lines: IO[str]) -> None:
        with lines, contextlib.suppress(ValueError):  # killed in the middle of a line
            for line in lines:
                self._answers.put(json.loads(line))
        self._answers.put(None)


def _serve() -> None:
    """The body of the second process."""
    for number in (signal.SIGINT, signal.SIGUSR1):  # are for the run's process
        signal.signal(number, signal.SIG_IGN)
    first = json.loads(sys.stdin.readline())
    config = replace(Config.from_mapping(first["settings"]), threads=first["threads"])
    steps: queue.Queue[int] = queue.Queue()
    threading.Thread(target=_listen, args=(steps,), daemon=True).start()
    if config.eval.background not in (None, "auto"):
        config = replace(config, device=str(config.eval.background))
    dataset = load(config.data)
    rows = Rows(config, RunDir(Path(first["run"])), dataset, split(dataset, config.data), machine.configure(config))
    with rows.folder.lock_rows():
        while stopped(config.stop, rows.rows) is None:
            _make(rows, steps.get())
        threading.Event().wait()  # the run's process will cut back, and end this one


def _make(rows: Rows, step: int) -> None:
    begin = time.monotonic()
    try:
        row = rows.make(step)
    except Diverged as diverged:
        _tell({"diverged": diverged.step})
    else:
        _tell({"row": row, "seconds": time.monotonic() - begin})


def _tell(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def _listen(steps: "queue.Queue[int]") -> None:
    for line in sys.stdin:
        steps.put(int(line))
    os._exit(0)


if __name__ == "__main__":
    _serve()
