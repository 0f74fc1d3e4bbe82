"""Who owns a run on a disk that several machines share, where flock may hold nothing between them.

A folder holds numbered files, the generations of one lease; who made the highest is the owner.

1. A generation is made whole and by one process alone: written beside it, then linked to its number, which fails
   where the number is taken, on NFS too (where a disk knows no links: by exclusive creation).
2. Who has made one looks again. If a higher one is there, it slept while others came and went, and does not own
   anything. The highest is never removed, so no number comes twice; its owner removes those below.
3. The owner renews its file several times in the `seconds` for which a lease holds, and says in it when it leaves.
4. The next generation may be made by others where the highest says that its owner has left; where the owner died on
   this machine (the same boot, and the flock, which one kernel keeps for all its processes, is free); where its expiry
   is more than SKEW_SECONDS ago; and where it was not renewed for `seconds` while one looked on. The last needs no
   common clock, and the one before it bears clocks that differ by minutes.
5. An owner that did not renew for `seconds` (asleep, or its disk hung) may have been taken over: before it goes on it
   makes the next generation itself, by rule 1, or has lost the run.

What remains: a write that was checked and then hung for longer than a lease. It does no harm to a run, whose files are
replaced whole and have the same bytes whoever writes them.
"""

import contextlib
import json
import math
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path

from diffmem.errors import InputError, InUse
from diffmem.files import read_bytes
from diffmem.tree import Tree

LEAST_SECONDS, LARGEST_SECONDS = 30.0, 3600.0  # for which a lease holds
BEATS = 3  # heartbeats within that time, at least
RENEW_SECONDS = 5.0  # or a heartbeat, where that is longer
SKEW_SECONDS = 600.0
LOOK_SECONDS = 0.5
NUMBER = re.compile(r"\d{8}")


class LeaseLost(InUse):
    """Another process has taken the run over from this one."""


@dataclass(frozen=True)
class Entry:
    """What a generation says. `expires` is by its owner's clock; `deaths` are owners before it that did not leave."""

    host: str
    boot: str
    process: int
    expires: float
    seconds: float
    released: bool
    deaths: int

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}" if self.process else "another process"


UNKNOWN = Entry("", "", 0, math.inf, LEAST_SECONDS, released=False, deaths=0)  # of a damaged file
NOBODY = Entry("", "", 0, 0.0, LEAST_SECONDS, released=True, deaths=0)  # before the first


class Lease:
    """The generations that this process makes of the lease in `folder`, a folder of `tree`."""

    def __init__(self, tree: Tree, folder: Path, entry: Entry) -> None:
        self.entry = entry
        self.on_lost: Callable[[], None] = lambda: None  # called in the thread that finds it out
        self._tree, self._folder = tree, folder
        self._number, self._renewed = 0, -math.inf
        self._lost: LeaseLost | None = None
        self._guard = threading.Lock()

    def make(self, number: int) -> bool:
        """Make the generation `number` and own the run; False where another process was faster."""
        moment, path = now(), self._path(number)
        self.entry = replace(self.entry, expires=time.time() + self.entry.seconds)
        if not self._tree.create(path, _to_bytes(self.entry)) or _numbers(self._tree, self._folder)[-1] != number:
            return False
        self._number, self._renewed = number, moment
        for earlier in _numbers(self._tree, self._folder)[:-1]:
            self._tree.remove(self._path(earlier))
        return True

    def check(self) -> None:
        """Raises LeaseLost where another process has the run. The disk is asked only where the lease is not fresh."""
        with self._guard:
            if self._lost is None and self._is_late():
                self._renew()
            if self._lost is not None:
                raise self._lost

    def renew(self) -> None:
        """Hold the lease for its `seconds` from now. A disk that does not take it is asked again next time."""
        with self._guard, contextlib.suppress(OSError, InputError):
            if self._lost is None:
                self._renew()
        if self._lost is not None:
            self.on_lost()

    def release(self) -> None:
        """Say that the owner has left."""
        with self._guard, contextlib.suppress(OSError, InputError):
            if self._lost is None:
                self._write(replace(self.entry, released=True))

    def _renew(self) -> None:
        if self._is_late():
            lost = not self.make(self._number + 1)
        else:
            moment = now()
            self._write(replace(self.entry, expires=time.time() + self.entry.seconds))
            lost = _numbers(self._tree, self._folder)[-1] != self._number
            self._renewed = moment
        if lost:
            owner = highest(self._tree, self._folder)[1]
            self._lost = LeaseLost(f"{self._folder.parent} was taken over by {owner} while this process gave no sign.")

    def _is_late(self) -> bool:
        return now() - self._renewed >= self.entry.seconds

    def _write(self, entry: Entry) -> None:
        self.entry = entry
        self._tree.write(self._path(self._number), _to_bytes(entry), durable=False)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}"


@contextlib.contextmanager
def held(tree: Tree, folder: Path, beat_seconds: float, *, alone: bool) -> Iterator[Lease]:
    """Own the run whose lease is in `folder`, renewing it in a thread. `alone`: no process of this machine has it.

    Raises InUse where another process gives a sign of life; it is given time for one before it is taken for dead.
    """
    lease = acquire(tree, folder, max(LEAST_SECONDS, BEATS * beat_seconds), alone=alone)
    end = threading.Event()

    def keep() -> None:
        while not end.wait(max(RENEW_SECONDS, beat_seconds)):
            lease.renew()

    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        end.set()
        thread.join()
        lease.release()


def acquire(tree: Tree, folder: Path, seconds: float, *, alone: bool) -> Lease:
    """The lease in `folder`, for `seconds` if it is not renewed; `alone` and errors as those of `held`."""
    first: Entry | None = None
    since = now()
    while True:
        number, latest = highest(tree, folder)
        watched = first == latest and now() - since >= latest.seconds
        if watched or _is_free(latest, alone):
            lease = Lease(tree, folder, _entry(seconds, deaths=latest.deaths + (not latest.released)))
            if lease.make(number + 1):
                return lease
            first, latest = latest, highest(tree, folder)[1]
        if first is not None and latest != first:
            raise in_use(folder.parent, str(latest))
        first = latest
        time.sleep(min(LOOK_SECONDS, latest.seconds / 10))


def highest(tree: Tree, folder: Path) -> tuple[int, Entry]:
    """The number of the newest generation and what it says; (0, NOBODY) where there is none."""
    while numbers := _numbers(tree, folder):
        try:
            return numbers[-1], _from_bytes(read_bytes(folder / f"{numbers[-1]:08d}"))
        except FileNotFoundError:  # its owner was just followed by another
            continue
        except InputError:
            return numbers[-1], UNKNOWN
    return 0, NOBODY


def in_use(path: Path, holder: str) -> InUse:
    return InUse(f"{path} is in use by {holder}: wait for it, stop it, or give this run another seed or out.")


def _entry(seconds: float, deaths: int) -> Entry:
    """What this process says of itself; the expiry is set when it is written."""
    return Entry(socket.gethostname(), boot(), os.getpid(), 0.0, seconds, released=False, deaths=deaths)


def _is_free(latest: Entry, alone: bool) -> bool:
    died_here = alone and latest.boot == boot()
    return latest.released or died_here or latest.expires + SKEW_SECONDS < time.time()


def _numbers(tree: Tree, folder: Path) -> list[int]:
    return sorted(int(name) for name in tree.names(folder) if NUMBER.fullmatch(name))


def _to_bytes(entry: Entry) -> bytes:
    return json.dumps(asdict(entry)).encode() + b"\n"


def _from_bytes(content: bytes) -> Entry:
    """What a generation's file says; UNKNOWN where it is not what was written."""
    try:
        entry = Entry(**json.loads(content))
        fits = all(type(getattr(entry, field.name)) is field.type for field in fields(Entry))
    except (ValueError, TypeError, RecursionError):
        return UNKNOWN
    return entry if fits and 0 < entry.seconds <= LARGEST_SECONDS and math.isfinite(entry.expires) else UNKNOWN


def now() -> float:
    """Seconds on a clock that nobody sets and that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@cache
def boot() -> str:
    """What tells this machine since it was started from all others."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return socket.gethostname()
