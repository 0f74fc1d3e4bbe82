"""Workers that see one GPU alone: each GPU has a server, a process from which its workers are forked.

A server is a fresh process whose CUDA_VISIBLE_DEVICES names its GPU before torch is imported. It loads what a run needs
and asks CUDA nothing, so that a worker starts at once and still opens the GPU itself. Servers last as long as this
process, for one sweep after another. A worker has a socket to this process; that it closes asks the worker to leave.
"""

import atexit
import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, NoReturn

# what a run imports, seconds in all
PRELOAD = [
    "diffmem.executors.devices",
    "diffusers.models.unets.unet_2d",
    "diffusers.schedulers.scheduling_ddim",
]
GONE_SECONDS, LOOKS = 0.005, 400  # until a worker that has said its last word has left its files too


class Workers:
    """Those of one executor."""

    def __init__(self) -> None:
        self._running: set[_Worker] = set()
        self._guard = threading.Lock()
        self._leaving = False

    def call(self, device: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What `function(*arguments)` gives in a worker that sees `device`, once that worker is gone.

        `function` is found by its name, and everything is pickled. Raises what it raised. None where the worker died,
        and where all were asked to leave.
        """
        with self._guard:
            if self._leaving:
                return None
            worker = _Worker(_server(device).fork())
            self._running.add(worker)
        try:
            result = worker.see_through((os.getcwd(), function, arguments))
        finally:
            with self._guard:
                self._running.discard(worker)
        if isinstance(result, Exception):
            raise result
        return result

    def leave(self, grace_seconds: float) -> None:
        """Ask all workers to leave; those that are there after the grace time are killed."""
        with self._guard:
            self._leaving = True
            running = list(self._running)
        for worker in running:
            worker.ask_to_leave()
        last = time.monotonic() + grace_seconds
        for worker in running:
            if not worker.gone.wait(max(last - time.monotonic(), 0)):
                worker.kill()


class _Worker:
    """A worker as this process sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self.gone = threading.Event()
        self._connection = connection
        self._process: int | None = None

    def see_through(self, request: object) -> Any:
        """Its answer to `request`, None where it died without one."""
        result = None
        try:
            with self._connection, self._connection.makefile("rb") as reader:
                with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
                    self._connection.sendall(pickle.dumps(pickle.dumps(request)))
                    self._process = pickle.load(reader)
                    result = pickle.load(reader)
                for _ in range(LOOKS):
                    if self._process is None or not _is_there(self._process):
                        break
                    time.sleep(GONE_SECONDS)
        finally:
            self.gone.set()
        return result

    def ask_to_leave(self) -> None:
        """Where it has not started yet it never will, and is not waited for."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR if self._process is None else socket.SHUT_WR)

    def kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGKILL)


class _Server:
    """The server of a device as this process sees it."""

    def __init__(self, device: str) -> None:
        self._connection, theirs = socket.socketpair()
        path = os.pathsep.join(filter(None, sys.path))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                env={**os.environ, "CUDA_VISIBLE_DEVICES": device, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the sweep, which asks its workers to leave
            )

    def fork(self) -> socket.socket:
        """The socket of a new worker; where the server is gone nobody holds its other end."""
        mine, theirs = socket.socketpair()
        with theirs, contextlib.suppress(OSError):
            socket.send_fds(self._connection, [b"\0"], [theirs.fileno()])
        return mine

    def is_there(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """Its workers are not touched."""
        self._connection.close()
        self._process.kill()
        self._process.wait()


_servers: dict[str, _Server] = {}


def _server(device: str) -> _Server:
    known = _servers.get(device)
    if known is not None and known.is_there():
        return known
    if known is not None:
        known.stop()
    _servers[device] = _Server(device)
    return _servers[device]


@atexit.register
def _stop_all() -> None:
    while _servers:
        _servers.popitem()[1].stop()


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _serve(connection: socket.socket) -> None:
    """The body of a server: fork a worker for every socket that comes, until nobody is left who could send one."""
    for module in PRELOAD:
        import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the workers
    while True:
        _, sockets, _, _ = socket.recv_fds(connection, 1, 1)
        if not sockets:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            connection.close()
            _work(socket.socket(fileno=sockets[0]))
        os.close(sockets[0])


def _work(connection: socket.socket) -> NoReturn:
    """The body of a worker process."""
    try:
        reader = connection.makefile("rb")
        connection.sendall(pickle.dumps(os.getpid()))
        request = pickle.load(reader)
        threading.Thread(target=_leave_when_asked, args=(reader,), daemon=True).start()
        connection.sendall(_answer(request))
    except (EOFError, OSError):  # the sweep was killed: the run's directory says how it ended
        pass
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _answer(request: bytes) -> bytes:
    """The pickled result of what is asked for, or the exception that it raised, in words where it has no pickle."""
    try:
        folder, function, arguments = pickle.loads(request)
        os.chdir(folder)
        return pickle.dumps(function(*arguments))
    except Exception as error:
        with contextlib.suppress(Exception):
            answer = pickle.dumps(error)
            pickle.loads(answer)
            return answer
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))


def _leave_when_asked(reader: Any) -> None:
    """A worker whose sweep was killed leaves too, at a resume point, and frees its run."""
    with contextlib.suppress(OSError):
        reader.read(1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
