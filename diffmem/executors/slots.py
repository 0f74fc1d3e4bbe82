"""Runs through a number of slots, each of which sees one run through at a time: what executors share.

An engine adds the life of one worker. The rest is here: the queue, the promises about workers that die, about runs
that another process works on, and about leaving. Where a slot is not all that a run takes, there is room to be shared
out: then the first run in the queue for which there is some goes next.
"""

import bisect
import itertools
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from diffmem.errors import InUse
from diffmem.executors.ended import LEFT, Deaths, outcome_in, record_failure
from diffmem.training.plan import Plan
from diffmem.training.session import Outcome

LOOK_BEATS = 2.0  # heartbeats between looks at a run that another process works on
WAKE_SECONDS = 0.5  # between looks for signals: one that came to another thread ends no wait of the main one


class Elsewhere(Exception):
    """Raised by an engine: the run is to wait for another place. That is no end of it and no death."""


class Room(Protocol):
    """What is shared out to runs. Both are called under one lock, and neither waits."""

    def take(self, planned: Plan) -> Any:
        """A place for the run, None where there is none now."""

    def free(self, place: Any) -> None:
        """The place is free again."""


class Unlimited:
    """There is room wherever there is a slot."""

    def take(self, planned: Plan) -> Any:
        return ()

    def free(self, place: Any) -> None:
        """Nothing was taken."""


class Engine(Protocol):
    """Where workers live."""

    def live(self, planned: Plan, place: Any) -> Outcome | None:
        """A worker's life on the run, in a place that `Room` gave it: start it, and return when it is gone.

        Raises what the run raised, or Elsewhere. None where the worker died without a word; after `leave` nothing is
        started.
        """

    def leave(self) -> None:
        """Ask all workers to leave at a resume point, and see to it that they are gone within the grace time."""


class Slots:
    """The executor of an engine that takes `capacity` runs at once; `retries` as in `executor.retries`.

    `lanes` is of `Executor`, by default the capacity. Each slot is a thread; with `threads=False` the one slot is
    whoever calls `close`.
    """

    def __init__(
        self,
        engine: Engine,
        capacity: int,
        retries: int,
        *,
        lanes: int | None = None,
        room: Room | None = None,
        threads: bool = True,
    ) -> None:
        self.capacity, self.lanes = capacity, lanes or capacity
        self._engine, self._retries, self._most_threads = engine, retries, capacity if threads else 0
        self._room = room or Unlimited()
        self._ended: list[threading.Event] = []  # one a slot, since a join that a signal breaks off believes in an end
        self._changed = threading.Condition()
        self._order = itertools.count()
        self._queue: list[tuple[float, int, Plan]] = []  # in order: not before that moment, then as they came
        self._orders: dict[Path, int] = {}
        self._futures: dict[Path, Future[Outcome]] = {}
        self._busy: dict[Path, dict[str, Any]] = {}  # the status in which another process was found at work
        self._closing = self._leaving = False

    def submit(self, planned: Plan) -> Future[Outcome]:
        known = self._futures.get(planned.run.path)
        if known is not None and not known.done():
            return known
        future = self._futures[planned.run.path] = Future()
        self._orders[planned.run.path] = next(self._order)
        self._put(planned)
        if len(self._ended) < self._most_threads:
            ended = threading.Event()
            threading.Thread(target=self._slot, args=(ended,), daemon=True).start()
            self._ended.append(ended)
        return future

    def close(self, *, cancel: bool = False) -> None:
        with self._changed:
            self._closing, self._leaving = True, self._leaving or cancel
            self._changed.notify_all()
        if cancel:
            self._engine.leave()
        elif not self._most_threads:
            self._work_off()
        for ended in self._ended:
            while not ended.wait(WAKE_SECONDS):
                pass
        for future in self._futures.values():
            if not future.done():
                future.set_result(LEFT)

    def _put(self, planned: Plan, seconds: float = 0.0) -> None:
        with self._changed:
            moment = time.monotonic() + seconds if seconds else 0.0
            bisect.insort(self._queue, (moment, self._orders[planned.run.path], planned))
            self._changed.notify_all()

    def _next(self) -> tuple[Plan, Any] | None:
        """The first run whose moment has come and for which there is room, and its place; None: there is no more."""
        with self._changed:
            while not self._leaving and (self._queue or not self._closing):
                now = time.monotonic()
                for entry in self._queue:
                    if entry[0] <= now and (place := self._room.take(entry[-1])) is not None:
                        self._queue.remove(entry)
                        return entry[-1], place
                self._changed.wait(next((moment - now for moment, *_ in self._queue if moment > now), None))
        return None

    def _slot(self, ended: threading.Event) -> None:
        try:
            self._work_off()
        finally:
            ended.set()

    def _work_off(self) -> None:
        while (found := self._next()) is not None:
            planned, place = found
            try:
                self._work_on(planned, place)
            finally:
                with self._changed:
                    self._room.free(place)
                    self._changed.notify_all()

    def _work_on(self, planned: Plan, place: Any) -> None:
        run, future = planned.run, self._futures[planned.run.path]
        before = run.read_status()
        try:
            if not self._still_busy(planned, before):
                future.set_result(self._end_of(planned, place))
        except Elsewhere:
            self._put(planned)
        except InUse:
            self._wait_for(planned)
        except Exception as error:
            record_failure(run, before, error)
            future.set_exception(error)

    def _still_busy(self, planned: Plan, status: dict[str, Any]) -> bool:
        """Whether the process that was found at work has given a sign of life since: then no worker is spent on it."""
        seen = self._busy.get(planned.run.path)
        if seen is None or status == seen or status.get("status") != "running":
            return False
        self._wait_for(planned)
        return True

    def _wait_for(self, planned: Plan) -> None:
        self._busy[planned.run.path] = planned.run.read_status()
        self._put(planned, LOOK_BEATS * planned.config.heartbeat_seconds)

    def _end_of(self, planned: Plan, place: Any) -> Outcome:
        deaths = Deaths(planned.run, self._retries)
        while not self._leaving:
            before = planned.run.read_status()
            outcome = self._engine.live(planned, place) or outcome_in(planned.run, before)
            if outcome is not None and (outcome.status != "interrupted" or self._leaving):
                return outcome
            if not self._leaving:
                deaths.another()
        return LEFT
