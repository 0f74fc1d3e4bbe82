"""SIGTERM, SIGUSR1 (a scheduler's warning that time is short) and Ctrl-C as a request to leave within two seconds.

Training answers at its next step, when its state is whole and can be saved. An evaluation, or a step that takes
longer than a second, is abandoned by raising `Interrupted` where it stands; the last resume point holds.
"""

import _thread
import signal
import threading
from types import FrameType, TracebackType
from typing import Self

PATIENCE_SECONDS = 1.0


class Interrupted(BaseException):
    """The process was asked to stop. Not an Exception: nothing that handles failures may swallow it."""


class Interrupts:
    """`with Interrupts() as interrupts:` catches the signals in the block; `requested` says one has come.

    The request is for the process: a block around this one hears of it too, and `number` says which signal it was.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

    def __init__(self) -> None:
        self.requested = False
        self.number: int | None = None
        self.abandon = False  # raise at once instead of waiting for a safe point
        self._active = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        if self._active:
            self._before = {number: signal.signal(number, self._request) for number in self.SIGNALS}
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._give_up)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self.SIGNALS)  # whoever started this process may block them
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._active:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def ask(self) -> None:
        """As if a signal had come; from any thread."""
        if self._active:
            _thread.interrupt_main(signal.SIGTERM)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            return
        self.requested, self.number = True, number
        around = getattr(self._before[signal.Signals(number)], "__self__", None)
        if isinstance(around, Interrupts):
            around.requested, around.number = True, number
        if self.abandon:
            raise Interrupted
        signal.setitimer(signal.ITIMER_REAL, PATIENCE_SECONDS)

    def _give_up(self, number: int, frame: FrameType | None) -> None:
        raise Interrupted
