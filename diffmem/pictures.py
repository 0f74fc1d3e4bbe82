"""Stored samples of runs beside their nearest training images: for a report, which goes on without them.

The images are those of the checksum in meta.json, or none. A folder that only a run's own config names is not opened.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from diffmem.config.data import FileData
from diffmem.config.settings import SGDOptimizer
from diffmem.data import Split, split, trained_on
from diffmem.diffusion import clock
from diffmem.diffusion.law import Law
from diffmem.diffusion.process import Process
from diffmem.diffusion.target import Target
from diffmem.errors import InputError
from diffmem.records import Film, SampleSheet
from diffmem.runs import Run, load_run
from diffmem.store import RunDir

COUNT = 8  # samples shown of each run and step


@dataclass(frozen=True)
class Pictures:
    """Reads what is to be shown. `data` is the folder of the images as the user names it; `notes` say what is left out.

    Samples are the first ones stored. None is returned where a run has no sample images (a model of one fixed t, points
    that are no images), and where they or its training images cannot be had.
    """

    data: Path | None = None
    notes: list[str] = field(default_factory=list)
    _splits: dict[Path, Split | None] = field(default_factory=dict)

    def sheet(self, path: Path, step: int, count: int = COUNT) -> SampleSheet | None:
        """The samples of the run in `path` at `step` in pixels."""
        run = load_run(path)
        shown = self._beside_nearest(run, step, count)
        if shown is None:
            return None
        return SampleSheet(run=run.path.name, n=run.config.data.n, step=step, k=run.k, **shown)

    def same_noise(self, path: Path, steps: Sequence[int], count: int = COUNT) -> list[SampleSheet]:
        """The same stored samples of the run at `steps`: the `count` nearest to a training image at the last step."""
        run = load_run(path)
        shown = {step: self._beside_nearest(run, step, None) for step in steps}
        kept = [part for part in shown.values() if part is not None]
        if len(kept) < len(steps):
            return []
        chosen = np.sort(np.argsort(kept[-1]["ratio"][: min(len(part["ratio"]) for part in kept)])[:count])
        known: dict[str, Any] = {"run": run.path.name, "n": run.config.data.n, "k": run.k}
        return [
            SampleSheet(step=step, **known | {name: value[chosen] for name, value in part.items()})
            for step, part in zip(steps, kept, strict=True)
        ]

    def film(self, path: Path, count: int = COUNT) -> Film | None:
        """The samples of the run in `path` at all its S steps. They start from the same noise at every step."""
        run = load_run(path)
        sheets = {step: shown for step in run.steps if (shown := self._beside_nearest(run, step, count))}
        if not sheets:
            return None
        least = min(len(shown["ratio"]) for shown in sheets.values())
        images = {
            name: np.stack([np.round(255 * shown[name][:least]).astype(np.uint8) for shown in sheets.values()])
            for name in ("samples", "nearest")
        }
        return Film(
            run=run.path.name,
            n=run.config.data.n,
            steps=np.array(list(sheets)),
            samples=images["samples"],
            nearest=images["nearest"],
            ratio=np.stack([shown["ratio"][:least] for shown in sheets.values()]),
            k=run.k,
        )

    def pace(self, path: Path) -> float | None:
        """What a training step of the run in `path` adds to loss-weighted time: of SGD, r lr / (1 - momentum).

        None where there is no run or its training images cannot be had, and of optimizers whose step is not the
        gradient's.
        """
        if not RunDir(path).config_path.exists():
            return None
        run = load_run(path)
        config, parts = run.config, self._split(run)
        if parts is None or not isinstance(config.optimizer, SGDOptimizer):
            return None
        process = Process.from_config(config.diffusion)
        law = Law.of(config.diffusion, process, Target.of(config.diffusion, process), config.train.gamma)
        return clock.rate(parts.train, process, law) * config.optimizer.lr / (1 - config.optimizer.momentum)

    def _beside_nearest(self, run: Run, step: int, count: int | None) -> dict[str, np.ndarray] | None:
        """samples and nearest [count, C, H, W] in [0, 1], and ratio [count]; of all that are stored for None."""
        if len(run.config.data.shape) != 3 or not RunDir(run.path).primary.has_samples(step):
            return None
        try:
            stored = run.samples(step, count)
        except InputError as error:
            self._left_out(f"{run.path.name}: samples are left out: {error}")
            return None
        parts = self._split(run)
        shown = len(stored["images"])
        if parts is None or not shown:
            return None
        return {
            "samples": parts.to_images(stored["images"]).numpy(),
            "nearest": parts.to_images(parts.train[stored["i1"][:shown]]).numpy(),
            "ratio": (stored["d1"][:shown] / stored["d2"][:shown]).numpy(),
        }

    def _split(self, run: Run) -> Split | None:
        if run.path not in self._splits:
            data = run.config.data
            if isinstance(data, FileData) and self.data is not None:
                data = replace(data, root=str(self.data))
            try:
                dataset = trained_on(data, run.data_sha256, run.path, named=self.data is not None)
                self._splits[run.path] = split(dataset, data)
            except InputError as error:
                self._splits[run.path] = None
                self._left_out(f"{run.path.name}: no pictures: {error}")
        return self._splits[run.path]

    def _left_out(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)
