"""Weights & Biases: online, or offline into a folder that `wandb sync` uploads later.

A run's history only grows there, so what is past its last step is sent. Offline, W&B's own `wandb leet inspect` says
which step that is in the folders of earlier processes.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from diffmem.config.tracker import WandbTracker
from diffmem.trackers.base import Point, Subject

if TYPE_CHECKING:
    from wandb import Run

INIT_SECONDS = 30.0
FAILED = ("diverged", "failed", "interrupted")


def check(options: WandbTracker) -> None:
    """Whatever else is wrong, a server says it."""


def start(options: WandbTracker, subject: Subject) -> "Wandb":
    return Wandb(options, subject)


class Wandb:
    """One run of a project. Offline it is begun when there is something to write."""

    def __init__(self, options: WandbTracker, subject: Subject) -> None:
        self._options, self._subject = options, subject
        self._folder = Path(os.environ.get("WANDB_DIR") or subject.folder)
        self._run: Run | None = None
        if options.mode == "offline":
            self._last = _last_offline(self._folder, subject.key)
        else:
            self._run = self._open()
            self._last = self._run.step - 1 if self._run.resumed else -1

    def missing(self, points: Sequence[Point]) -> list[Point]:
        return [point for point in points if point.step > self._last]

    def send(self, point: Point) -> None:
        import wandb

        if self._run is None:
            self._run = self._open()
        images = {name: wandb.Image(image) for name, image in point.images().items()}
        self._run.log({**images, **point.values}, step=point.step)
        self._last = point.step

    def flush(self) -> None:
        """W&B's own process has it."""

    def close(self, status: str) -> None:
        if self._run is not None:
            self._run.finish(exit_code=int(status in FAILED))

    def _open(self) -> "Run":
        import wandb

        subject = self._subject
        return wandb.init(
            project=self._options.project,
            entity=self._options.entity,
            group=subject.folder.resolve().name,
            id=subject.key,
            name=subject.name,
            config=dict(subject.settings),
            dir=str(self._folder),
            mode="offline" if self._options.mode == "offline" else "online",
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                save_code=False,
                disable_git=True,
                init_timeout=INIT_SECONDS,
                x_disable_stats=True,
                x_disable_meta=True,
            ),
        )


def _last_offline(folder: Path, key: str) -> int:
    """The last step in the folders that earlier processes wrote for this run, -1 where there is none."""
    last = -1
    for file in (folder / "wandb").glob(f"offline-run-*-{key}/run-{key}.wandb"):
        told = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(file)]
        read = subprocess.run(told, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
        last = max(last, int(json.loads(read.stdout)["summary"].get("_step", -1)))
    return last
