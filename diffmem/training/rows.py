"""The rows of one run under one evaluation setting: made from checkpoints, in step order, each written once whole.

The rows of the settings that a run was first started with stand in the run directory itself. Where an earlier version
of the measures made them, they are set aside under their own id before new ones take the place. A network that was
trained before has a null of its own: the row of step 0.
"""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from torch import nn

from diffmem.config import identity
from diffmem.config.settings import Config
from diffmem.data import Dataset, Split
from diffmem.definitions import THRESHOLD
from diffmem.errors import InputError
from diffmem.files import DamagedWarning
from diffmem.store import EvalDir, RunDir
from diffmem.training import weights
from diffmem.training.evaluate import Evaluator

OWN_NULL = {"f_mem": ("", "_count", "_total", "_low", "_high"), "p_train": ("", "_low", "_high")}


class Rows:
    """Reads the rows there are and adds what is missing. The evaluator is made when it is first needed."""

    def __init__(self, config: Config, run: RunDir, dataset: Dataset, split: Split, device: torch.device) -> None:
        self.folder = eval_dir(run, config)
        self.rows = self.folder.read_rows()
        self._config, self._run, self._device = config, run, device
        self._dataset, self._split = dataset, split
        self._evaluator: Evaluator | None = None

    def cut_after(self, step: int) -> None:
        """Drop rows past `step`, and any torn line."""
        self.rows = sorted((row for row in self.rows if row["step"] <= step), key=_step)
        if self.folder.metrics_path.exists():
            self.folder.write_rows(self.rows)

    def fill(self, steps: list[int]) -> Iterator[tuple[int, int, int]]:
        """Make the rows of `steps` that are missing, or whose samples are, from their checkpoints.

        Yields before each is made: its step, and which (from 1) of how many it is. Who takes no more makes no more.
        """
        missing = self.missing(steps)
        for number, step in enumerate(missing, start=1):
            yield step, number, len(missing)
            self.make(step)

    def missing(self, steps: list[int]) -> list[int]:
        """Those of `steps`, in order, whose row is missing or whose samples are gone."""
        damaged = {row["step"] for row in self.rows if row["step"] in steps and self._samples_damaged(row)}
        return sorted(damaged | set(steps) - {row["step"] for row in self.rows})

    def make(self, step: int) -> dict[str, Any]:
        """Make the row of `step` from its checkpoint."""
        model = weights.read(self._run, step, self._config)
        return self.add(model.to(self._device), step, weights.columns(self._run, step, self._config))

    def note(self, row: dict[str, Any]) -> None:
        """Another process has made `row` and written it."""
        self.rows = sorted([*(known for known in self.rows if known["step"] != row["step"]), row], key=_step)

    def add(self, model: nn.Module, step: int, columns: Mapping[str, float] | None = None) -> dict[str, Any]:
        """Evaluate `model` as the checkpoint of `step`; write its samples, then its row, which is returned.

        `columns` are added to the row.
        """
        if self._evaluator is None:
            self._evaluator = Evaluator(self._config, self._dataset, self._split, self._device)
            self._record(self._evaluator)
        measured = self._evaluator(model, step)
        measured.row.update(columns or {})
        if self._config.train.init is not None:
            self._use_own_null(measured.row)
        if measured.arrays:
            self.folder.write_samples(step, safetensors.numpy.save(measured.arrays))
        newest = not self.rows or step > self.rows[-1]["step"]
        self.note(measured.row)
        if newest:
            self.folder.append_row(measured.row)
        else:
            self.folder.write_rows(self.rows)
        return measured.row

    def _use_own_null(self, row: dict[str, Any]) -> None:
        """Of a network that was trained before: its null is what it did at step 0, before it saw these images.

        That of held-out images stays in the row, as f_mem_heldout and p_train_heldout.
        """
        first = row if row["step"] == 0 else next((known for known in self.rows if known["step"] == 0), None)
        first = first or self.make(0)
        for share, parts in OWN_NULL.items():
            for part in parts if share in row else ():
                row[f"{share}_heldout{part}"] = row[f"{share}_null{part}"]
                row[f"{share}_null{part}"] = first[f"{share}{part}"]

    def _record(self, evaluator: Evaluator) -> None:
        """In meta.json: what quality says of known generators, and by which networks it is measured."""
        meta = self._run.read_meta()
        known = {**meta}
        if self.folder == self._run.primary and evaluator.bookends:
            known["bookends"] = evaluator.bookends
        if evaluator.networks:
            known["networks"] = {**meta.get("networks", {}), **evaluator.networks}
        if known != meta:
            self._run.write_meta(known)

    def _samples_damaged(self, row: dict[str, Any]) -> bool:
        """Whether the samples of `row` are gone or are not those it counts; said in a DamagedWarning."""
        if "f_mem_count" not in row:
            return False
        path = self.folder.samples_path(row["step"])
        try:
            d1, d2 = self.folder.read_samples(row["step"], ("d1", "d2")).values()
            with np.errstate(divide="ignore", invalid="ignore"):
                memorized = int((d1 / d2 < row.get(THRESHOLD, self._config.eval.k)).sum())
            if (len(d1), memorized) == (row["f_mem_total"], row["f_mem_count"]):
                return False
            why = "it is not what its row counts"
        except (InputError, OSError) as error:
            why = str(error)
        warnings.warn(f"{path} is made again from its checkpoint: {why}", DamagedWarning, stacklevel=2)
        return True


def eval_dir(run: RunDir, config: Config) -> EvalDir:
    """Where rows of `config`'s evaluation settings live in `run`."""
    first = Config.from_stored(run.read_config(), run.config_path)
    return run.primary if first.eval_id() == config.eval_id() else run.evaluation(config.eval_id())


def set_aside(run: RunDir) -> None:
    """Move the rows and samples of an earlier version of the measures from their place in `run` to `evals/<their id>`.

    Killed at any point, it goes on at the next call: `meta.json` says last that the place is free.
    """
    meta, settings = run.read_meta(), run.read_config()
    made_by = meta.get("measures", 1)
    if made_by == identity.MEASURES:
        return
    earlier = identity.evaluation(settings, made_by)
    run.primary.move_to(run.evaluation(identity.short_hash(earlier)), earlier)
    run.write_meta({**meta, "measures": identity.MEASURES})


def _step(row: dict[str, int]) -> int:
    return row["step"]
