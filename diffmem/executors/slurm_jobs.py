"""The jobs of one sweep in Slurm's queue: sbatch, squeue and scancel, and submitit, which writes the scripts.

All bear the sweep's own name, which stands in its folder, so that another `diffmem sweep` finds them again, also where
the one before died in the middle of submitting.
"""

import contextlib
import io
import json
import math
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import submitit

from diffmem.config.executor import SlurmExecutor
from diffmem.errors import InputError
from diffmem.executors import probe
from diffmem.files import read_bytes, write_bytes

ENDED = {  # a job's last states; in any other it may yet run
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
    *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
}
ASK_SECONDS = 60.0  # for Slurm's answer
SEE_SECONDS = 5.0  # until what was written on a node is seen here
TIME_IS_UP = 75  # exit code of a task that asks to be queued again: its script does that, outside any container
REQUEUE = f'[ $? -ne {TIME_IS_UP} ] || scontrol requeue "$SLURM_JOB_ID"'


class Jobs:
    """Those of the sweep whose folder for them is `folder`. Raises InputError where this machine has no Slurm."""

    def __init__(self, folder: Path, options: SlurmExecutor) -> None:
        missing = [command for command in ("sbatch", "srun", "squeue", "scancel") if shutil.which(command) is None]
        if missing:
            raise InputError(
                f"executor=slurm: this machine has no {missing[0]}. Start the sweep where Slurm takes jobs, or choose "
                "another executor, such as pool."
            )
        self._folder, self._options = folder.absolute(), options
        self._record = self._folder / "jobs.json"

    @property
    def name(self) -> str:
        """Of all the sweep's jobs."""
        if "name" not in (known := self._read()):
            known = self._write(name=f"diffmem-{secrets.token_hex(6)}")
        return str(known["name"])

    def check(self, out: Path) -> None:
        """Raise InputError where Slurm would refuse a task, in its words, or where its nodes do not see `out`.

        The second takes a job of its own, once for each partition. Nothing is left in `out` where it fails.
        """
        words = [
            f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in self._flags()
        ]
        tried = _ask("sbatch", "--test-only", *words, "--wrap", "true")
        if tried.returncode:
            raise _refused(tried.stderr)
        seen, partition = self._read().get("seen", []), self._options.partition or ""
        if partition not in seen:
            with probe.question(out) as asked, tempfile.TemporaryDirectory(dir=asked.path.parent, prefix=".") as place:
                self._check_seen(out, asked, Path(place))
            self._write(seen=[*seen, partition])

    def submit(self, count: int, task: Callable[[], object]) -> str:
        """One array of `count` tasks that call `task`; returns its id. Raises InputError where Slurm refuses it."""
        job = self._submit(self._folder / "logs", count, task, job_name=self.name)[0]
        number: str = job.job_id.partition("_")[0]
        self._write(arrays=[*self._read().get("arrays", []), number])
        return number

    def states(self) -> dict[str, str]:
        """The tasks that Slurm still knows of, and the state of each. Raises InputError where it gives no answer."""
        return _states(self.name)

    def cancel(self, *, waiting_only: bool = False) -> None:
        """Ask the tasks to leave: Slurm sends SIGTERM, and SIGKILL after its KillWait."""
        _ask("scancel", "--name", self.name, *(["--state=PENDING"] if waiting_only else []))

    def last_words(self, number: str) -> str:
        """The last line that a task of the array `number` has said."""
        return _last_line(self._folder / "logs", f"{number}_*_log.*")

    def _flags(self) -> list[tuple[str, str | bool]]:
        options = self._options
        words = (word.removeprefix("--").partition("=") for word in options.options)
        named = {
            "partition": options.partition,
            "account": options.account,
            "time": options.time,
            "gres": options.gres,
            "cpus_per_task": options.cpus,
            "mem": options.mem,
            "signal": f"USR1@{options.signal_seconds}",
        }
        chosen = [(name, str(value)) for name, value in named.items() if value is not None]
        return [*chosen, ("requeue", True), *((name, value if equals else True) for name, equals, value in words)]

    def _submit(self, folder: Path, count: int, task: Callable[[], object], **flags: str) -> "list[submitit.Job[Any]]":
        engine = submitit.SlurmExecutor(folder, python=self._options.python)
        engine.update_parameters(
            array_parallelism=count, teardown=[REQUEUE], additional_parameters={**dict(self._flags()), **flags}
        )
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):  # where submitit shows what sbatch says
                return engine.submit_array([task] * count)
        except submitit.core.utils.FailedJobError as error:
            raise _refused(said.getvalue() or str(error)) from error

    def _check_seen(self, out: Path, asked: probe.Question, place: Path) -> None:
        name, time_limit = f"diffmem{asked.path.name}", str(min(self._options.time, 5))
        job = self._submit(place, 1, asked.trouble, job_name=name, time=time_limit)[0]
        try:
            last = math.inf
            while not job.paths.result_pickle.exists() and time.monotonic() < last:
                states = set(_states(name).values())
                time.sleep(self._options.look_seconds if "PENDING" in states else 0.5)
                if last == math.inf and states <= ENDED:
                    last = time.monotonic() + SEE_SECONDS
        finally:
            _ask("scancel", "--name", name)
        if job.paths.result_pickle.exists():
            probe.check(out, {"a node of Slurm": job.result()})
        elif words := _last_line(place, "*_log.*"):
            raise InputError(f"executor=slurm: a first job did not come as far as diffmem on its node ({words}).")
        else:
            probe.check(out, {"a node of Slurm": "does not see it"})

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(read_bytes(self._record))
        except (FileNotFoundError, InputError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _write(self, **news: Any) -> dict[str, Any]:
        known = {**self._read(), **news}
        write_bytes(self._record, json.dumps(known).encode() + b"\n")
        return known


def own_task() -> str:
    """The task in which this process works, as Slurm calls it."""
    number: str = submitit.JobEnvironment().job_id
    return number


def _states(name: str) -> dict[str, str]:
    asked = _ask("squeue", "--noheader", "--array", "--states=all", "--name", name, "--format", "%i|%T")
    if asked.returncode:
        raise _refused(asked.stderr)
    return dict(line.split("|", 1) for line in asked.stdout.split())


def _ask(*words: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=ASK_SECONDS)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", f"no answer in {ASK_SECONDS:.0f} seconds")


def _refused(words: str) -> InputError:
    """Slurm's first words of complaint, without who said them: the others repeat them."""
    lines = [re.sub(r"^(\w+: )?(error|fatal|allocation failure): ", "", line) for line in words.splitlines()]
    said = next((line for line in lines if line.strip()), "nothing")
    return InputError(f"Slurm says: {said.rstrip('.')}. `diffmem sweep --cfg` shows the options of executor.")


def _last_line(folder: Path, pattern: str) -> str:
    """The last line of the logs that says something; srun's own, that a task has failed, where there is no other."""
    lines = [line for path in sorted(folder.glob(pattern)) for line in path.read_text(errors="replace").splitlines()]
    said = [line for line in lines if line.strip()]
    return next((line for line in reversed(said) if not line.startswith("srun: ")), "".join(said[-1:]))
