"""status.json while a run goes on: who runs it, how far it is, and that it is alive.

A thread writes it every `heartbeat_seconds`, so it goes on during a long evaluation; the loop only sets fields.
"""

import math
import os
import socket
import threading
import time
from collections import deque
from types import TracebackType
from typing import Any, Self

from torch import Tensor

from diffmem.errors import InputError
from diffmem.store import RunDir

RATE_WINDOW = 20  # beats the speed is averaged over


class Heartbeat:
    """`with Heartbeat(run, steps, seconds) as beat:` then set `beat.step`, `beat.loss`, `beat.f_mem`, `beat.phase`."""

    def __init__(self, run: RunDir, steps: int, seconds: float) -> None:
        self.step = 0
        self.phase = "starting"  # starting, training, evaluating
        self.device = ""
        self.loss: Tensor | None = None
        self.f_mem: float | None = None
        self._run, self.steps, self._seconds = run, steps, seconds
        self._marks: deque[tuple[float, int]] = deque(maxlen=RATE_WINDOW)  # seconds spent training, step
        self._training_seconds, self._last = 0.0, time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._end.wait(self._seconds):
            self._write()

    def _write(self) -> None:
        now = time.monotonic()
        if self.phase == "training":
            self._training_seconds += now - self._last
            self._marks.append((self._training_seconds, self.step))
        self._last = now
        try:
            self._run.write_status(self._status())
        except (OSError, InputError):
            return  # a full disk, or what stands in the file's place, is the training thread's to report

    def _status(self) -> dict[str, Any]:
        steps_per_second = None
        if len(self._marks) > 1 and self._marks[-1][0] > self._marks[0][0]:
            (first_seconds, first), (last_seconds, last) = self._marks[0], self._marks[-1]
            steps_per_second = (last - first) / (last_seconds - first_seconds)
        loss = float("nan") if self.loss is None else float(self.loss)
        return {
            "status": "running",
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "device": self.device,
            "heartbeat": time.time(),
            "phase": self.phase,
            "step": self.step,
            "steps": self.steps,
            "steps_per_second": steps_per_second,
            "loss": loss if math.isfinite(loss) else None,
            "f_mem": self.f_mem,
        }
