"""The run directory: every file name in it, and every way it is written and read.

Files are replaced whole (`files.py`); rows of metrics are appended, and a torn last line is dropped.
One process owns a run by a lock that dies with it. Imports no torch: the analysis reads runs through this module.
"""

import contextlib
import fcntl
import json
import os
import shutil
import socket
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from diffmem.errors import InputError
from diffmem.files import DamagedWarning, sha256, sync_directory, write_bytes


@dataclass(frozen=True)
class EvalDir:
    """The rows and samples of one evaluation setting: the run directory itself, or `evals/<eval_id>` in it."""

    path: Path

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def settings_path(self) -> Path:
        return self.path / "eval.yaml"

    def samples_path(self, step: int) -> Path:
        return self.path / "samples" / f"step_{step:08d}.safetensors"

    def read_rows(self) -> list[dict[str, Any]]:
        """The rows in file order. A torn last line is dropped with a DamagedWarning; another bad line is refused."""
        if not self.metrics_path.exists():
            return []
        lines = self.metrics_path.read_bytes().split(b"\n")
        torn = lines.pop()
        if torn:
            warnings.warn(f"{self.metrics_path}: the last line is torn and was dropped", DamagedWarning, stacklevel=2)
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                rows.append({**row, "step": int(row["step"])})
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{self.metrics_path}, line {number}, is no row of metrics ({error}): remove that line; "
                    "`diffmem evaluate` computes it again."
                ) from error
        return rows

    def append_row(self, row: Mapping[str, Any]) -> None:
        """Append one row and flush it. A row that could not be written whole is taken back."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self.metrics_path.open("ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            try:
                file.write(_row_bytes(row))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise
        sync_directory(self.path)

    def write_settings(self, settings: Mapping[str, Any]) -> None:
        write_bytes(self.settings_path, yaml.safe_dump(dict(settings), sort_keys=False).encode())

    def write_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace all rows."""
        write_bytes(self.metrics_path, b"".join(_row_bytes(row) for row in rows))


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
        """Rows and samples of the evaluation settings the run was first started with."""
        return EvalDir(self.path)

    def evaluation(self, eval_id: str) -> EvalDir:
        """Rows and samples of other evaluation settings."""
        return EvalDir(self.path / "evals" / eval_id)

    def checkpoint_steps(self) -> list[int]:
        """The steps with a checkpoint folder, ascending."""
        return sorted(_steps(self.path / "checkpoints"))

    def read_config(self) -> dict[str, Any]:
        """The resolved settings as a nested dict. Raises InputError where there are none."""
        if not self.config_path.is_file():
            raise InputError(f"{self.path} is no run directory: it has no config.yaml.")
        try:
            loaded = yaml.safe_load(self.config_path.read_text())
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{self.config_path} cannot be read as YAML: {error}") from error
        if not isinstance(loaded, dict):
            raise InputError(f"{self.config_path} holds no settings.")
        return loaded

    def write_config(self, config: Mapping[str, Any]) -> None:
        write_bytes(self.config_path, yaml.safe_dump(dict(config), sort_keys=False).encode())

    def read_status(self) -> dict[str, Any]:
        """status.json, or {} where there is none (or a reader came between: it is never half written)."""
        try:
            status: dict[str, Any] = json.loads(self.status_path.read_text())
        except (OSError, ValueError):
            return {}
        return status

    def write_status(self, status: Mapping[str, Any]) -> None:
        """Replace status.json. Not flushed to the disk: it is a sign of life, nothing is computed from it."""
        write_bytes(self.status_path, _json_bytes(status), durable=False)

    def read_meta(self) -> dict[str, Any]:
        try:
            meta: dict[str, Any] = json.loads(self.meta_path.read_text())
        except (OSError, ValueError):
            return {}
        return meta

    def write_meta(self, meta: Mapping[str, Any]) -> None:
        write_bytes(self.meta_path, _json_bytes(meta))

    def append_timing(self, step: int, train_seconds: float, evaluate_seconds: float) -> None:
        """Add what the way to `step` and its evaluation took: the only place for clock values."""
        head = "" if self.timing_path.exists() else "step,train_seconds,evaluate_seconds\n"
        with self.timing_path.open("a") as file:
            file.write(f"{head}{step},{train_seconds:.3f},{evaluate_seconds:.3f}\n")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Own the run, or raise InputError that says who does. The lock dies with the process."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.path} cannot be made ({error}): choose another out.") from error
        with self.lock_path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise InputError(
                    f"{self.path} is in use by {holder}: wait for it, stop it, or give this run another seed or out."
                ) from error
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            self._remove_leftovers()
            yield
            file.truncate(0)

    def _remove_leftovers(self) -> None:
        """What a killed writer had written beside its place."""
        for entry in [*self.path.glob(".*"), *self.path.glob("*/.*"), *self.path.glob("evals/*/**/.*")]:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def write_resume(self, step: int, content: bytes, keep: int = 2) -> None:
        """A resume point: first its file, then the pointer to it. The last `keep` stay."""
        path = self.resume_path(step)
        write_bytes(path, content)
        earlier = [point for point in self._resume_points() if point["step"] < step]
        points = [*earlier, {"step": step, "file": path.name, "sha256": sha256(content)}][-keep:]
        write_bytes(self.resume_pointer_path, _json_bytes(points))
        kept = {point["file"] for point in points}
        for file in path.parent.iterdir():
            if file.name not in kept:
                file.unlink()

    def read_resume(self, at_most: int | None = None) -> tuple[int, bytes] | None:
        """The newest intact resume point (not past step `at_most`), as (step, content); None where there is none."""
        for point in reversed(self._resume_points()):
            step = int(point["step"])
            if at_most is not None and step > at_most:
                continue
            path = self.resume_path(step)
            content = path.read_bytes() if path.is_file() else b""
            if sha256(content) == point["sha256"]:
                return step, content
            warnings.warn(
                f"{path}: the resume point is damaged; the one before it is used", DamagedWarning, stacklevel=2
            )
        return None

    def _resume_points(self) -> list[dict[str, Any]]:
        try:
            points: list[dict[str, Any]] = json.loads(self.resume_pointer_path.read_text())
        except FileNotFoundError:
            return []
        except ValueError:
            warnings.warn(f"{self.resume_pointer_path} is damaged and was dropped", DamagedWarning, stacklevel=2)
            return []
        return points


def find_runs(folder: str | Path) -> list[RunDir]:
    """The run directories in `folder`, or `folder` itself if it is one, by name."""
    folder = Path(folder)
    if RunDir(folder).config_path.is_file():
        return [RunDir(folder)]
    if not folder.is_dir():
        raise InputError(f"{folder} is no directory: name a folder of runs, such as runs/quickstart.")
    return [RunDir(path) for path in sorted(folder.iterdir()) if RunDir(path).config_path.is_file()]


def _steps(folder: Path) -> Iterator[int]:
    if folder.is_dir():
        for entry in folder.iterdir():
            word, _, number = entry.name.partition("_")
            if word == "step" and number.isdigit():
                yield int(number)


def _row_bytes(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, allow_nan=False).encode() + b"\n"


def _json_bytes(value: object) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"
