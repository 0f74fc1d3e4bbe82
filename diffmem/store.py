"""The run directory: every file name in it, and every way it is written and read.

Files are replaced whole and never through a link (`tree.py`), and checked when they are read (`stored.py`). Only files
that this module names are ever removed. One process owns a run, by a lock that dies with it and by a lease (`lease.py`)
where machines share the disk. Imports no torch: the analysis reads runs through this module.
"""

import contextlib
import fcntl
import itertools
import json
import os
import re
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from diffmem import lease, stored
from diffmem.errors import InputError
from diffmem.eval_dir import NO_LOCKS, EvalDir
from diffmem.files import DamagedWarning, read_bytes, sha256
from diffmem.lease import Entry, Lease
from diffmem.tree import Tree

__all__ = ["FORMAT", "EvalDir", "RunDir", "evaluation_share", "find_runs"]


FORMAT = 1  # of the run directory; another number is refused
TIMING_HEAD = b"step,train_seconds,evaluate_seconds,evaluation_share\n"
STEP = r"step_\d{8,}"
OWN = re.compile(  # every path in a run directory that this module writes or removes
    rf"config\.yaml|meta\.json|status\.json|lock|timing\.csv|resume\.json|resume(/{STEP}\.safetensors)?"
    r"|lease(/\d{8})?"
    rf"|checkpoints(/{STEP})?|evals(/[0-9a-f]{{8}})?"
    rf"|(evals/[0-9a-f]{{8}}/)?(metrics\.jsonl|rows\.lock|eval\.yaml|samples(/{STEP}\.safetensors)?)"
)
FOLDERS = re.compile(rf"resume|lease|checkpoints(/{STEP})?|evals(/[0-9a-f]{{8}})?|(evals/[0-9a-f]{{8}}/)?samples")
UNFINISHED = re.compile(rf"\.(?P<file>.+)\.\d+|\.(?P<checkpoint>{STEP})")  # beside its place, until it is renamed
PLACES = ("*", "checkpoints/*", "resume/*", "lease/*", "samples/*", "evals/*", "evals/*/*", "evals/*/samples/*")


@dataclass(frozen=True)
class RunDir:
    """One run's directory, `<out>/<run_id>`."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def config_path(self) -> Path:
        return self.path / "config.yaml"

    @property
    def meta_path(self) -> Path:
        return self.path / "meta.json"

    @property
    def status_path(self) -> Path:
        return self.path / "status.json"

    @property
    def lock_path(self) -> Path:
        return self.path / "lock"

    @property
    def lease_folder(self) -> Path:
        return self.path / "lease"

    @property
    def timing_path(self) -> Path:
        return self.path / "timing.csv"

    @property
    def resume_pointer_path(self) -> Path:
        return self.path / "resume.json"

    def resume_path(self, step: int) -> Path:
        return self.path / "resume" / f"step_{step:08d}.safetensors"

    def checkpoint_path(self, step: int) -> Path:
        return self.path / "checkpoints" / f"step_{step:08d}"

    @property
    def primary(self) -> EvalDir:
        """Rows and samples of the evaluation settings of the run's first row."""
        return EvalDir(self.path)

    def evaluation(self, eval_id: str) -> EvalDir:
        """Rows and samples of other evaluation settings."""
        return EvalDir(self.path, eval_id)

    def evaluations(self) -> list[EvalDir]:
        """Those of other evaluation settings than `primary`, by their ids."""
        found = sorted(path.parent for path in self.path.glob("evals/*/eval.yaml"))
        return [self.evaluation(path.name) for path in found]

    def checkpoint_steps(self) -> list[int]:
        """The steps with a checkpoint folder, ascending."""
        return sorted(_steps(self.path / "checkpoints"))

    def read_config(self) -> dict[str, Any]:
        """The resolved settings as a nested dict.

        Raises InputError where there are none, they are damaged, or another version of diffmem wrote the run.
        """
        if not self.config_path.is_file():
            raise InputError(f"{self.path} is no run directory: it has no config.yaml.")
        written = self.read_meta().get("format", FORMAT)
        if written != FORMAT:
            raise InputError(
                f"{self.path} was written in format {written}, and this version reads format {FORMAT}: use the version "
                "of diffmem that wrote it, or another out."
            )
        return stored.settings(self.config_path)

    def write_config(self, config: Mapping[str, Any]) -> None:
        self._tree.write(self.config_path, yaml.safe_dump(dict(config), sort_keys=False).encode())

    def read_status(self) -> dict[str, Any]:
        """status.json, or {} where there is none (or a reader came between: it is never half written)."""
        return stored.status(self.status_path)

    def write_status(self, status: Mapping[str, Any]) -> None:
        """Replace status.json. Not flushed to the disk: it is a sign of life, nothing is computed from it."""
        self._tree.write(self.status_path, _json_bytes(status), durable=False)

    def read_meta(self) -> dict[str, Any]:
        """meta.json, or {} where there is none."""
        return stored.meta(self.meta_path)

    def write_meta(self, meta: Mapping[str, Any]) -> None:
        self._tree.write(self.meta_path, _json_bytes(meta))

    @property
    def data_sha256(self) -> str | None:
        """Checksum of the data set the run was trained on, as meta.json has it; None where that is missing."""
        checksum: str | None = self.read_meta().get("data", {}).get("sha256")
        return checksum

    def append_timing(self, step: int, train_seconds: float, evaluate_seconds: float) -> None:
        """Add what the way to `step` and its evaluation took: the only place for clock values.

        The last column is the share of evaluation in all seconds so far. A file that was begun without it stays so.
        """
        content = read_bytes(self.timing_path) if self.timing_path.exists() else TIMING_HEAD
        head = "" if self.timing_path.exists() else TIMING_HEAD.decode()
        line = f"{step},{train_seconds:.3f},{evaluate_seconds:.3f}"
        if content.startswith(TIMING_HEAD):
            line += f",{evaluation_share([*self.timings(), (step, train_seconds, evaluate_seconds)]):.3f}"
        self._tree.append(self.timing_path, f"{head}{line}\n".encode())

    def timed_steps(self) -> set[int]:
        """The steps whose checkpoint was written and measured once, by timing.csv."""
        if not self.timing_path.is_file():
            return set()
        first = [line.partition(b",")[0] for line in read_bytes(self.timing_path).splitlines()]
        return {int(word) for word in first if word.isdigit() and len(word) < 16}

    def timings(self) -> list[tuple[int, float, float]]:
        """The whole lines of timing.csv: step, seconds of training on the way to it, seconds of its evaluation."""
        found = []
        with contextlib.suppress(OSError, InputError):
            for line in read_bytes(self.timing_path).decode(errors="replace").split("\n")[1:-1]:
                with contextlib.suppress(ValueError):
                    step, train_seconds, evaluate_seconds = line.split(",")[:3]
                    found.append((int(step), float(train_seconds), float(evaluate_seconds)))
        return found

    def cut_after(self, step: int) -> None:
        """Remove what was made of training past `step`: resume points first, then all else, timings last."""
        points = [point for point in self._resume_points() if point["step"] <= step]
        self._tree.write(self.resume_pointer_path, _json_bytes(points))
        for later in [later for later in _steps(self.path / "resume", ".safetensors") if later > step]:
            self._tree.remove(self.resume_path(later))
        for later in [later for later in self.checkpoint_steps() if later > step]:
            self._tree.remove(self.checkpoint_path(later))
        if self.timing_path.is_file():
            head, *lines = read_bytes(self.timing_path).splitlines(keepends=True)
            numbers = [line.partition(b",")[0] for line in lines]
            kept = [line for line, word in zip(lines, numbers, strict=True) if word.isdigit() and int(word) <= step]
            self._tree.write(self.timing_path, b"".join([head, *kept]))

    def replacing_checkpoint(self, step: int) -> contextlib.AbstractContextManager[Path]:
        """A fresh folder to fill, which becomes the checkpoint of `step` when the block ends well."""
        return self._tree.replacing(self.checkpoint_path(step))

    @contextlib.contextmanager
    def lock(self, beat_seconds: float = 1.0) -> Iterator[Lease]:
        """Own the run, or raise InUse that says who does. The lock dies with the process, and the lease of a machine
        that gives no sign of life for three beats (30 s at least) ends. Raises OSError where the disk does not take it.

        Raises InputError too where a file of the run is a link, or of another kind than belongs there: nothing is
        written or removed through it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path} cannot be made ({error}): choose another out.") from error
        self._refuse_other_kinds()
        with self._tree.open(self.lock_path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                alone = True
            except (BlockingIOError, PermissionError) as error:
                holder = file.read(200).decode(errors="replace").strip() or "another process"
                raise lease.in_use(self.path, holder) from error
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                alone = False
            with lease.held(self._tree, self.lease_folder, beat_seconds, alone=alone) as held:
                file.truncate(0)
                file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
                self._remove_leftovers()
                yield held
                file.truncate(0)

    def read_lease(self) -> Entry | None:
        """What the owner of the run, or its last one, says of itself; None where it had none."""
        number, entry = lease.highest(self._tree, self.lease_folder)
        return entry if number else None

    def _refuse_other_kinds(self) -> None:
        for entry in self._entries():
            name = entry.relative_to(self.path).as_posix()
            if not OWN.fullmatch(name):
                continue
            if entry.is_symlink():
                raise InputError(
                    f"{entry} is a symbolic link, and a run is never written through links: put what it leads to in "
                    "its place, or remove the link."
                )
            if not (entry.is_dir() if FOLDERS.fullmatch(name) else entry.is_file()):
                kind = "folder" if FOLDERS.fullmatch(name) else "regular file"
                raise InputError(f"{entry} is no {kind}, and nothing is written through it or over it: move it away.")

    def _remove_leftovers(self) -> None:
        """What a killed writer had written beside its place."""
        for entry in self._entries():
            name = UNFINISHED.fullmatch(entry.name)
            place = entry.with_name(name["file"] or name["checkpoint"]) if name else entry
            if name and OWN.fullmatch(place.relative_to(self.path).as_posix()):
                self._tree.remove(entry)

    def _entries(self) -> Iterator[Path]:
        """What lies in the folders of the run."""
        return itertools.chain.from_iterable(self.path.glob(place) for place in PLACES)

    def write_resume(self, step: int, content: bytes, keep: int = 2, also: Set[int] = frozenset()) -> None:
        """A resume point: first its file, then the pointer to it. The last `keep` stay, and those of steps `also`."""
        path = self.resume_path(step)
        self._tree.write(path, content)
        earlier = [point for point in self._resume_points() if point["step"] < step]
        known = [*earlier, {"step": step, "file": path.name, "sha256": sha256(content)}]
        points = [point for place, point in enumerate(known) if place >= len(known) - keep or point["step"] in also]
        self._tree.write(self.resume_pointer_path, _json_bytes(points))
        kept = {point["file"] for point in points}
        for file in path.parent.iterdir():
            if file.name not in kept and OWN.fullmatch(f"resume/{file.name}"):
                self._tree.remove(file)

    def read_resume(self, at_most: int | None = None) -> tuple[int, bytes] | None:
        """The newest intact resume point (not past step `at_most`), as (step, content); None where there is none."""
        for point in reversed(self._resume_points()):
            step = point["step"]
            if at_most is not None and step > at_most:
                continue
            path = self.resume_path(step)
            content = read_bytes(path, None) if path.is_file() else b""
            if sha256(content) == point["sha256"]:
                return step, content
            warnings.warn(
                f"{path}: the resume point is damaged; the one before it is used", DamagedWarning, stacklevel=2
            )
        return None

    def resume_step(self) -> int:
        """The step of the newest resume point that is named, -1 where there is none."""
        return max((point["step"] for point in self._resume_points()), default=-1)

    def _resume_points(self) -> list[dict[str, Any]]:
        try:
            return stored.points(self.resume_pointer_path)
        except InputError:
            warnings.warn(f"{self.resume_pointer_path} is damaged and was dropped", DamagedWarning, stacklevel=2)
            return []

    @property
    def _tree(self) -> Tree:
        return Tree(self.path)


def evaluation_share(timings: Sequence[tuple[int, float, float]]) -> float:
    """The share of evaluation in the seconds of `RunDir.timings`; 0 where there are none."""
    evaluated = sum(evaluate_seconds for _, _, evaluate_seconds in timings)
    total = evaluated + sum(train_seconds for _, train_seconds, _ in timings)
    return evaluated / total if total > 0 else 0.0


def find_runs(folder: str | Path) -> list[RunDir]:
    """The run directories in `folder`, or `folder` itself if it is one, by name."""
    folder = Path(folder)
    if RunDir(folder).config_path.is_file():
        return [RunDir(folder)]
    if not folder.is_dir():
        raise InputError(f"{folder} is no directory: name a folder of runs, such as runs/quickstart.")
    return [RunDir(path) for path in sorted(folder.iterdir()) if RunDir(path).config_path.is_file()]


def _steps(folder: Path, end: str = "") -> Iterator[int]:
    """The steps in the names of what lies in `folder` and ends so."""
    if folder.is_dir():
        for entry in folder.iterdir():
            word, _, number = entry.name.removesuffix(end).partition("_")
            if word == "step" and number.isdigit() and entry.name.endswith(end):
                yield int(number)


def _json_bytes(value: object) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"
