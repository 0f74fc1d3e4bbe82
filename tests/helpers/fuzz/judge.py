"""One case tried through the command line, in process and in a folder of its own, and how it ended.

clear      exit 0, or one sentence on standard error that names what was wrong (exit 1 or 2)
unclear    any other words, or another exit code
traceback  an error that came out of `main`, or a traceback in its words
hang       no end within LIMIT seconds
harm       whatever it said: something outside of its output folder changed, something was written although the
           exit code is 2, a connection was opened, or a program of a stranger was started
"""

import contextlib
import hashlib
import io
import os
import re
import shutil
import signal
import stat
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LIMIT = 15.0  # seconds
RING = signal.SIGRTMIN + 7
LONGEST = 700  # characters of a clear sentence
OUTCOMES = ("clear", "unclear", "traceback", "hang", "harm")
OUTPUTS = ("out", "runs", "cache", "compare")  # folders of a case that its command may write into
OWNED = re.compile(r"/(lock|lease|lease/\d{8})$")  # of whoever works on a run, also in vain
OUR_PROGRAMS = ("git",)  # started by ourselves

# what the interpreter reports of connections and programs while a case is tried
_watched: list[str] | None = None


@dataclass(frozen=True)
class Case:
    """`make(folder)` prepares the files; a clear sentence holds one of `names`; `label` tells it from others.

    The command may write into `outputs`, folders beside the case's files.
    """

    kind: str
    label: str
    words: tuple[str, ...]
    names: tuple[str, ...]
    make: Callable[[Path], None] = field(default=lambda folder: None, compare=False)
    outputs: tuple[str, ...] = OUTPUTS


@dataclass(frozen=True)
class Verdict:
    outcome: str
    said: str


class _Hang(BaseException):
    """The time is up. No Exception: whatever handles failures must not swallow it."""


@dataclass
class _End:
    """How a command ended: its exit code or the error that came out of it, and its words."""

    code: int = 0
    error: BaseException | None = None
    out: str = ""
    err: str = ""
    events: list[str] = field(default_factory=list)


def try_case(case: Case, folder: Path, limit: float = LIMIT) -> Verdict:
    """Try `case` in `folder`, which is made for it and removed afterwards."""
    work, here = folder / "work", Path.cwd()
    for name in (work, folder / "outside"):
        name.mkdir(parents=True)
    (folder / "outside" / "thesis.txt").write_text("mine\n")
    try:
        case.make(work)
        os.chdir(work)
        os.environ["DIFFMEM_CACHE"] = str(work / "cache")
        before = _contents(folder)
        end = _run(case.words, limit)
        changed = _changes(before, _contents(folder))
    finally:
        os.chdir(here)
        shutil.rmtree(folder, ignore_errors=True)
    ours = tuple(os.path.normpath(f"work/{name}") for name in case.outputs)
    return _verdict(case, end, [*end.events, *(name for name in changed if end.code == 2 or not name.startswith(ours))])


def _run(words: Sequence[str], limit: float) -> _End:
    from diffmem.cli.main import main

    end, out, err = _End(), io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
        _watch() as events,
    ):
        warnings.simplefilter("default")
        try:
            with _alarm(limit):
                end.code = main(list(words))
        except SystemExit as leaving:
            end.code = int(leaving.code or 0)
        except BaseException as error:
            end.error = error
    end.out, end.err, end.events = out.getvalue(), err.getvalue(), events
    return end


def _verdict(case: Case, end: _End, harm: list[str]) -> Verdict:
    if isinstance(end.error, _Hang):
        return Verdict("hang", end.err[-LONGEST:])
    if end.error is not None:
        return Verdict("traceback", f"{type(end.error).__name__}: {end.error}"[:LONGEST])
    if "Traceback (most recent call last)" in end.err:
        return Verdict("traceback", end.err[-LONGEST:])
    if harm:
        return Verdict("harm", f"exit {end.code}: {', '.join(harm)[:LONGEST]} {end.err[-200:]}")
    sentences = [line for line in end.err.splitlines() if line.startswith("diffmem: ")]
    words = [line for line in sentences if not line.startswith(("diffmem: warning: ", "diffmem: note: "))]
    said = "\n".join(words) or end.err[-LONGEST:]
    if end.code == 0:
        return Verdict("clear", said)
    ended = end.code == 1 and any(word in end.out for word in ("diverged", "failed,"))  # the words of a run's end
    sentence = len(words) == 1 and len(said) <= LONGEST and any(name in said for name in case.names)
    clear = end.code in (1, 2) and (ended or sentence) and "--debug" not in said
    return Verdict("clear" if clear else "unclear", f"exit {end.code}: {said}")


def _contents(folder: Path) -> dict[str, str]:
    """Every entry below `folder`, but for the cache, with what it is."""
    found = {}
    for place, folders, files in os.walk(folder):
        if Path(place).name == "cache":
            folders.clear()
            continue
        for name in [*folders, *files]:
            path = Path(place) / name
            mode = path.lstat().st_mode
            what = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else str(stat.S_IFMT(mode))
            found[str(path.relative_to(folder))] = what
    return found


def _changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return [name for name in names if name != "work/cache" and not OWNED.search(name)]


@contextlib.contextmanager
def _alarm(limit: float) -> Iterator[None]:
    """Raise _Hang in the main thread when it has worked for `limit` seconds, or stood still for as long.

    Counted in seconds of the processor, so that other work on the machine does not make a hang. Runs use the other
    signals.
    """

    def ring(number: int, frame: object) -> None:
        raise _Hang

    before, over = signal.signal(RING, ring), threading.Event()
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def watch() -> None:
        begin, moved = _cpu_seconds(), (_cpu_seconds(), time.monotonic())
        while not over.wait(0.5):
            now = _cpu_seconds()
            if now > moved[0] + 0.02:
                moved = (now, time.monotonic())
            if now - begin > limit or time.monotonic() - moved[1] > limit:
                signal.pthread_kill(main_thread, RING)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        signal.signal(RING, before)


def _cpu_seconds() -> float:
    """Of this process without the watching thread's own, which are next to none."""
    return sum(os.times()[:2])


@contextlib.contextmanager
def _watch() -> Iterator[list[str]]:
    global _watched
    _watched = []
    try:
        yield _watched
    finally:
        _watched = None


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _watched is None:
        return
    if event == "subprocess.Popen":
        program = Path(str(arguments[0])).name
        if program not in OUR_PROGRAMS:
            _watched.append(f"started {program}")
    elif event in ("os.system", "os.exec", "os.posix_spawn", "socket.connect", "socket.getaddrinfo"):
        if event == "socket.connect" and not isinstance(arguments[1], tuple):  # a socket of this machine
            return
        _watched.append(f"{event} {arguments[1:]}"[:200])


sys.addaudithook(_hook)
