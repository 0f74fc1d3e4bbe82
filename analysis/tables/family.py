"""A family of runs as one tidy table: what every fit and figure reads.

A family is runs of one setting in which only n, width, seed and data.index differ. `rows` has one row per (run,
step), the contents of `metrics.csv`; `runs` one row per run. Per-sample ratios d1/d2 are read when asked for.
Whatever was left out or is incomplete is said in `warnings`, which a caller shows.
"""

import json
import warnings as python_warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import load_file

from diffmem.errors import InputError
from diffmem.files import DamagedWarning, write_bytes
from diffmem.store import RunDir, find_runs

from .rows import RUN_COLUMNS, clean_rows
from .study import find_reference_runs, read_reference_runs

MAY_DIFFER = (  # options, or groups of them, in which the runs of one family may differ
    "data.n",
    "model.width",
    "seed",
    "data.index",
    "data.root",
    "train.steps",
    "train.save_seconds",
    "train.channels_last",
    "stop.",
    "grid.",
    "eval.tile",
    "eval.keep_samples",
    "executor.",
    "experiment",
    "out",
    "device",
    "threads",
)
ENDED = ("complete", "stopped")


@dataclass(frozen=True)
class Family:
    """Runs that differ in n, width, seed and data.index only.

    `runs`: run, n, width, seed, index, status, path (None from a csv), settings (dotted option -> value).
    `rows`: run, n, width, seed, index, step and the measures, by run and ascending step.
    """

    runs: pd.DataFrame
    rows: pd.DataFrame
    warnings: list[str] = field(default_factory=list)

    def ratios(self, run: str, step: int) -> NDArray[np.float64] | None:
        """Gap ratios d1/d2 [M] of the samples drawn at `step`, in the order of their noise; None where not stored."""
        path = self._paths[run]
        if path is None:
            return None
        file = RunDir(Path(path)).primary.samples_path(step)
        if not file.is_file():
            return None
        arrays = load_file(file)
        ratio: NDArray[np.float64] = arrays["d1"].astype(np.float64) / arrays["d2"]
        return ratio

    def settings(self, run: str) -> dict[str, Any]:
        """Dotted option -> value, empty from a csv."""
        return self._settings[run]

    @cached_property
    def _paths(self) -> dict[str, str | None]:
        return dict(zip(self.runs["run"], self.runs["path"], strict=True))

    @cached_property
    def _settings(self) -> dict[str, dict[str, Any]]:
        return dict(zip(self.runs["run"], self.runs["settings"], strict=True))


def read_table(path: str | Path, samples: int | None = None) -> Family:
    """The family in a folder of run directories, in a csv with the columns of `metrics.csv`, or in the study's files.

    `samples` is the number behind each percentage of the study's files, which do not hold it. Raises InputError for a
    folder without runs, runs that are no family, a missing column, steps that do not ascend, counts larger than their
    total, or negative values.
    """
    path = Path(path)
    if path.is_file():
        if samples is not None:
            raise InputError(f"--samples={samples} is for the study's own text files, not for a csv: leave it out.")
        return _read_csv(path)
    notes: list[str] = []
    if path.is_dir() and (folders := find_reference_runs(path)):
        return _as_family(*read_reference_runs(folders, samples, notes), path, notes)
    if samples is not None:
        raise InputError(f"--samples={samples} is for the study's own text files, and {path} holds none: leave it out.")
    runs, frames = [], []
    for run in find_runs(path):
        entry, frame = _read_run(run, notes)
        runs.append(entry)
        if frame.empty:
            notes.append(f"{run.name}: no row of metrics yet; the run is left out.")
        else:
            frames.append(frame)
    if not frames:
        raise InputError(
            f"{path} holds no run with metrics: name a folder of run directories (each with config.yaml and "
            "metrics.jsonl), such as runs/quickstart."
        )
    return _as_family(runs, frames, path, notes)


def _as_family(runs: list[dict[str, Any]], frames: list[pd.DataFrame], path: Path, notes: list[str]) -> Family:
    order = ["n", "width", "seed", "index"]
    table = pd.DataFrame(runs).sort_values(order, kind="stable")
    check_one_family(table)
    rows = pd.concat(frames, ignore_index=True).sort_values(order, kind="stable", ignore_index=True)
    table = table[table["run"].isin(rows["run"])].reset_index(drop=True)
    return Family(table, clean_rows(rows, str(path), notes), notes)


def write_metrics_csv(family: Family, path: str | Path) -> None:
    """Write `rows` as csv; every number reads back as the same bits."""
    write_bytes(Path(path), family.rows.to_csv(index=False).encode())


def check_one_family(runs: pd.DataFrame) -> None:
    """Raises InputError naming the options in which runs differ that must agree within a family."""
    settings = list(runs["settings"])
    keys = sorted(set().union(*settings))
    fixed = [key for key in keys if not any(key == name or key.startswith(name) for name in MAY_DIFFER)]
    shown = []
    for key in fixed:
        values = {json.dumps(one.get(key)) for one in settings}
        if len(values) > 1:
            shown.append(f"{key} ({', '.join(sorted(values))})")
    if shown:
        raise InputError(
            f"the runs are no family, they differ in {'; '.join(shown)}: only n, width, seed and data.index may "
            "differ, so put the runs of one setting in a folder of their own."
        )


def _read_csv(path: Path) -> Family:
    try:
        rows = pd.read_csv(path, dtype=str)  # numbers by float(): older pandas loses the last bit
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as csv: {error}") from error
    notes: list[str] = []
    if rows.empty:
        raise InputError(f"{path} holds no row: a family's table has one row per run and step.")
    rows = clean_rows(rows, str(path), notes)
    varying = rows.groupby("run", sort=False)[list(RUN_COLUMNS[1:])].nunique().max()
    for name, count in varying.items():
        if count > 1:
            raise InputError(
                f"{path}: a run has several values of {name}: give every (n, width, seed, index) its own run."
            )
    runs = rows.drop_duplicates("run")[list(RUN_COLUMNS)].reset_index(drop=True)
    runs = runs.assign(status="unknown", path=None, settings=pd.Series([{}] * len(runs), dtype=object))
    return Family(runs, rows, notes)


def _read_run(run: RunDir, notes: list[str]) -> tuple[dict[str, Any], pd.DataFrame]:
    settings = dict(_dotted(run.read_config()))
    try:
        key = {
            "run": run.name,
            "n": settings["data.n"],
            "width": settings["model.width"],
            "seed": settings["seed"],
            "index": settings["data.index"],
        }
    except KeyError as error:
        raise InputError(f"{run.config_path} lacks {error.args[0]}: it is not the config of a run.") from error
    status = str(run.read_status().get("status", "unknown"))
    with python_warnings.catch_warnings(record=True) as caught:
        python_warnings.simplefilter("always", DamagedWarning)
        rows = run.primary.read_rows()
    notes.extend(str(one.message) for one in caught)
    if rows and status not in ENDED:
        notes.append(f"{run.name}: the run is {status}, not complete; what it did not reach counts as censored.")
    entry = {**key, "status": status, "path": str(run.path), "settings": settings}
    return entry, pd.DataFrame(rows).assign(**key) if rows else pd.DataFrame()


def _dotted(mapping: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in mapping.items():
        pairs += _dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(prefix + key, value)]
    return pairs
