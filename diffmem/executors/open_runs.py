"""The open runs of a sweep in a folder, from which workers on any machine take them (`taker.py`).

`open/00003-<run>` is a run to be seen through, in the sweep's order; when it is over it has moved to `over/`. The sweep
puts it there and reads what became of it, and workers need no sweep. Who works on a run is said by the run's own lock,
so a worker that dies leaves its run to the others; the run's file counts such deaths.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diffmem.errors import InputError
from diffmem.executors.ended import RunFailed, WorkerDied, outcome_in
from diffmem.files import read_bytes
from diffmem.store import RunDir
from diffmem.training.plan import Plan
from diffmem.training.session import Outcome
from diffmem.tree import Tree

NAME = re.compile(r"\d{5}-.+")


@dataclass(frozen=True)
class Entry:
    """What the file of a run says: how to do it, and what has happened to it since it was put there."""

    settings: Mapping[str, Any]
    cwd: str  # where relative paths of the settings start
    retries: int
    before: Mapping[str, Any]  # the run's status when it was put there
    owners_lost: int  # deaths of its owners by the run's lease, those before it was put there included
    step: int  # resume point at the last death, or when it was put there
    deaths: int = 0  # without a newer resume point
    worker: str = ""  # who took it last
    failure: str | None = None
    died: bool = False  # whether the failure was one death too many

    def asks_for(self, other: "Entry") -> bool:
        """Whether this is the run that `other` is, wherever it is done."""
        mine, others = ({**entry.settings, "executor": None} for entry in (self, other))
        return mine == others


class OpenRuns:
    """Those of the sweep in the folder above `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._tree = Tree(self.folder)

    def run(self, name: str) -> RunDir:
        return RunDir(self.folder.parent / name.partition("-")[2])

    def name(self, order: int, planned: Plan) -> str:
        """Of the run's file: the one it has, else a new one."""
        known = (name for name in self.open() + self.over() if self.run(name).name == planned.run.name)
        return next(known, f"{order:05d}-{planned.run.name}")

    def put(self, name: str, planned: Plan, retries: int) -> None:
        """Open the run. One that is open already, or over, stands as it is, unless other settings are asked for."""
        run, lease = planned.run, planned.run.read_lease()
        entry = Entry(
            settings=planned.config.to_mapping(),
            cwd=os.getcwd(),
            retries=retries,
            before=run.read_status(),
            owners_lost=lease.deaths + (not lease.released) if lease else 0,
            step=run.resume_step(),
        )
        known = self.read(name) or self.read(name, "over")
        if known is None or not known.asks_for(entry):
            self.remove(name)
            self.keep(name, entry)

    def reopen(self, name: str, entry: Entry) -> None:
        """The run was over, and is not any more."""
        self.keep(name, entry)
        self._remove("over", name)

    def open(self) -> list[str]:
        """The names of the open runs, in order."""
        return self._names("open")

    def over(self) -> list[str]:
        """The names of the runs that are over."""
        return self._names("over")

    def read(self, name: str, state: str = "open") -> Entry | None:
        """What the file says; None where there is none, or a damaged one."""
        try:
            return Entry(**json.loads(read_bytes(self.folder / state / name)))
        except (FileNotFoundError, InputError, ValueError, TypeError):
            return None

    def end(self, name: str, entry: Entry) -> Outcome | None:
        """How a run ended that is over; None where it was begun again since. Raises RunFailed and WorkerDied."""
        if entry.failure is not None:
            raise (WorkerDied if entry.died else RunFailed)(entry.failure)
        return outcome_in(self.run(name), entry.before)

    def keep(self, name: str, entry: Entry) -> None:
        """The run stays open."""
        self._write("open", name, entry)

    def close(self, name: str, entry: Entry) -> None:
        """The run is over."""
        self._write("over", name, entry)
        self._remove("open", name)

    def remove(self, name: str) -> None:
        """Forget the run."""
        self._remove("open", name)
        self._remove("over", name)

    def _names(self, state: str) -> list[str]:
        return sorted(filter(NAME.fullmatch, self._tree.names(self.folder / state)))

    def _write(self, state: str, name: str, entry: Entry) -> None:
        self._tree.write(self.folder / state / name, json.dumps(asdict(entry)).encode() + b"\n")

    def _remove(self, state: str, name: str) -> None:
        if name in self._names(state):
            self._tree.remove(self.folder / state / name)
