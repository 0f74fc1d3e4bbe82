"""The rows of one run under one evaluation setting: made from checkpoints, in step order, each written once whole."""

import safetensors.numpy
import torch
from torch import nn

from diffmem.config.settings import Config
from diffmem.data import Dataset, Split
from diffmem.files import write_bytes
from diffmem.store import EvalDir, RunDir
from diffmem.training import snapshot
from diffmem.training.evaluate import Evaluator


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

    def fill(self, steps: list[int]) -> int:
        """Make the rows of `steps` that are missing from their checkpoints; returns how many."""
        missing = sorted(set(steps) - {row["step"] for row in self.rows})
        for step in missing:
            path = self._run.checkpoint_path(step)
            model = snapshot.read_checkpoint(path, self._config, self._config.eval.weights)
            self.add(model.to(self._device), step)
        return len(missing)

    def add(self, model: nn.Module, step: int) -> None:
        """Evaluate `model` as the checkpoint of `step`; write its samples, then its row."""
        if self._evaluator is None:
            self._evaluator = Evaluator(self._config, self._dataset, self._split, self._device)
        measured = self._evaluator(model, step)
        if measured.arrays:
            write_bytes(self.folder.samples_path(step), safetensors.numpy.save(measured.arrays))
        newest = not self.rows or step > self.rows[-1]["step"]
        self.rows = sorted([*self.rows, measured.row], key=_step)
        if newest:
            self.folder.append_row(measured.row)
        else:
            self.folder.write_rows(self.rows)


def eval_dir(run: RunDir, config: Config) -> EvalDir:
    """Where rows of `config`'s evaluation settings live in `run`."""
    first = Config.from_stored(run.read_config())
    return run.primary if first.eval_id() == config.eval_id() else run.evaluation(config.eval_id())


def _step(row: dict[str, int]) -> int:
    return row["step"]
