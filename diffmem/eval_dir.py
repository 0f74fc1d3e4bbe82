"""Rows and samples of a run under one evaluation setting, in the run directory itself or in its `evals/<eval_id>`."""

import contextlib
import errno
import fcntl
import json
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from diffmem import stored
from diffmem.errors import InUse
from diffmem.files import DamagedWarning, read_bytes
from diffmem.tree import Tree

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # of a disk without locks
PATIENCE_SECONDS = 10.0  # for a process that lost its run


@dataclass(frozen=True)
class EvalDir:
    """The first evaluation settings of the run in `run` (`eval_id` None), or those called `eval_id`."""

    run: Path
    eval_id: str | None = None

    @property
    def path(self) -> Path:
        return self.run if self.eval_id is None else self.run / "evals" / self.eval_id

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
        try:
            rows, torn = stored.rows(self.metrics_path)
        except FileNotFoundError:
            return []
        if torn:
            warnings.warn(f"{self.metrics_path}: the last line is torn and was dropped", DamagedWarning, stacklevel=2)
        return rows

    @property
    def has_rows(self) -> bool:
        """Whether a whole line stands in metrics.jsonl."""
        return self.metrics_path.exists() and b"\n" in read_bytes(self.metrics_path)

    def append_row(self, row: Mapping[str, Any]) -> None:
        """Append one row and flush it. A row that could not be written whole is taken back."""
        self._tree.append(self.metrics_path, _row_bytes(row))

    def read_settings(self) -> dict[str, Any]:
        """The groups that decide these rows, of other settings than those of the run's first row."""
        return stored.settings(self.settings_path)

    def write_settings(self, settings: Mapping[str, Any]) -> None:
        self._tree.write(self.settings_path, yaml.safe_dump(dict(settings), sort_keys=False).encode())

    def move_to(self, other: "EvalDir", settings: Mapping[str, Any]) -> None:
        """Move rows and samples to `other`, which says that `settings` made them."""
        other.write_settings(settings)
        for name in ("samples", "metrics.jsonl"):
            if (self.path / name).exists():
                self._tree.move(self.path / name, other.path / name)

    def write_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace all rows."""
        self._tree.write(self.metrics_path, b"".join(_row_bytes(row) for row in rows))

    @contextlib.contextmanager
    def lock_rows(self) -> Iterator[None]:
        """Be the only process of this machine that makes these rows; wait for one that is about to leave.

        The run's own lock says who works on the run: this one tells its process from the one that makes its rows.
        """
        path = self.path / "rows.lock"
        with self._tree.open(path) as file:
            last = time.monotonic() + PATIENCE_SECONDS
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except (BlockingIOError, PermissionError) as error:
                    if time.monotonic() > last:
                        raise InUse(
                            f"{path} is held by another process, which makes these rows: wait for it."
                        ) from error
                    time.sleep(0.05)
                except OSError as error:
                    if error.errno not in NO_LOCKS:
                        raise
                    break
            yield

    def has_samples(self, step: int) -> bool:
        return self.samples_path(step).exists()

    def read_samples(self, step: int, names: Sequence[str] = (), count: int | None = None) -> dict[str, np.ndarray]:
        """The arrays stored at `step`, or `names` of them, cut to the first `count`.

        Raises InputError where the file is damaged, FileNotFoundError where there is none.
        """
        return stored.samples(self.samples_path(step), names, count)

    def write_samples(self, step: int, content: bytes) -> None:
        self._tree.write(self.samples_path(step), content)

    @property
    def _tree(self) -> Tree:
        return Tree(self.run)


def _row_bytes(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, allow_nan=False).encode() + b"\n"
