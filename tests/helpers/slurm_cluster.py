"""A Slurm of two nodes on this machine, by `tests/slurm_local.sh`: real daemons, queues and signals."""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from tests.helpers import processes

SCRIPT = Path(__file__).resolve().parents[1] / "slurm_local.sh"
PATIENCE_SECONDS = 120
REVOKED_SECONDS = 2.0  # in which a node refuses to start a job again that it has just given up
DAEMONS = ("munged", "slurmctld", "slurmd")
OPTIONS: Mapping[str, Any] = {
    "name": "slurm",
    "workers": 2,
    "retries": 1,
    "partition": "debug",
    "account": None,
    "time": 10,
    "gres": None,
    "cpus": 1,
    "mem": "900M",
    "sbatch": None,
    "signal_seconds": 5,
    "look_seconds": 1.0,
    "python": None,
}


def missing() -> str | None:
    """What this machine lacks for it, in words."""
    if importlib.util.find_spec("submitit") is None:
        return "submitit is not installed: pip install 'diffmem[slurm]'"
    if os.geteuid() != 0:
        return "a Slurm of its own needs root"
    absent = [name for name in DAEMONS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    return f"{absent[0]} is not installed: tests/slurm.sh installs it" if absent else None


@contextlib.contextmanager
def two_nodes(folder: Path) -> Iterator[None]:
    """Both nodes up, this process and its children their users, and all down again at the end."""
    environment = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    with mock.patch.dict(os.environ, environment):
        try:
            subprocess.run(["bash", SCRIPT, "start", folder], check=True, timeout=120)
            with _kept_up(folder):
                yield
        finally:
            subprocess.run(["bash", SCRIPT, "stop", folder], check=True, timeout=60)


@contextlib.contextmanager
def _kept_up(folder: Path) -> Iterator[None]:
    """The controller is started again where it has died, as an init system does: 22.05 has segmentation faults."""
    over = threading.Event()

    def keep() -> None:
        while not over.wait(1):
            controller = (folder / "slurmctld.pid").read_text().strip() if (folder / "slurmctld.pid").exists() else ""
            if not (controller and Path("/proc", controller).exists()):
                subprocess.run(["slurmctld", "-f", folder / "slurm.conf"], capture_output=True, timeout=60)

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def ask(*words: str) -> str:
    """What one of Slurm's commands says."""
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout


def clear() -> None:
    """Cancel what there is, and wait until it is gone."""
    for _ in range(PATIENCE_SECONDS):
        if not ask("squeue", "--noheader"):
            return
        ask("scancel", "--user=root")
        time.sleep(1)


def release() -> bool:
    """Start what was queued again, if there is any: by itself it would wait for two minutes."""
    waiting = ask("squeue", "--noheader", "--array", "--states=PENDING", "--format=%A|%r").split()
    numbers = [line.partition("|")[0] for line in waiting if line.endswith("|BeginTime")]
    time.sleep(REVOKED_SECONDS if numbers else 0)
    released = [["scontrol", "update", f"JobId={number}", "StartTime=now"] for number in numbers]
    return any(subprocess.run(words, capture_output=True, timeout=60).returncode == 0 for words in released)


def lose_busy_node() -> None:
    """Lose a node on which a task runs."""
    busy = ask("squeue", "--noheader", "--states=RUNNING", "--format=%N").split()
    lose_node(busy[-1] if busy else "n1")


def lose_node(name: str) -> None:
    """All processes of the node die at once, it goes down, and its tasks are queued again; then it comes up, empty.

    It is given no task in its first seconds: Slurm still tells it then to end what it had, by the number of the task.
    """
    folder = Path(os.environ["SLURM_CONF"]).parent
    works = list(_works_on(name, folder))
    steps = {parent for pid in works if _word(parent := _parent(pid)).startswith("slurmstepd")}
    processes.kill([int((folder / f"slurmd.{name}.pid").read_text()), *steps, *works])
    for state in ("DOWN", "DRAIN"):
        ask("scontrol", "update", f"NodeName={name}", f"State={state}", "Reason=lost")
    for _ in range(20 if works else 0):  # until Slurm has put the task back: another node takes it at once
        if release():
            break
        time.sleep(0.5)
    ask("slurmd", "-N", name, "-f", str(folder / "slurm.conf"))
    for _ in range(PATIENCE_SECONDS):
        if "down" not in _state(name):
            break
        time.sleep(1)
    time.sleep(REVOKED_SECONDS)
    for _ in range(PATIENCE_SECONDS):
        if _is_up(name):
            break
        time.sleep(1)


def _is_up(name: str) -> bool:
    if _state(name).startswith(("down", "drain")):
        subprocess.run(["scontrol", "update", f"NodeName={name}", "State=RESUME"], capture_output=True, timeout=60)
    return _state(name) in ("idle", "mixed", "allocated")


def _state(name: str) -> str:
    return ask("sinfo", "--noheader", f"--nodes={name}", "--format=%T").strip()


def _works_on(name: str, folder: Path) -> Iterator[int]:
    """The processes of tasks on the node."""
    signs = {f"SLURMD_NODENAME={name}".encode(), f"SLURM_CONF={folder}/slurm.conf".encode()}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if signs <= set((entry / "environ").read_bytes().split(b"\0")):
                yield int(entry.name)


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _word(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""
