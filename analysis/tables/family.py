"""A family of runs as one tidy table: what every fit and figure reads.

A family is runs of one setting in which only n, width, seed and data.index differ. `rows` has one row per (run,
step), the contents of `metrics.csv`; `runs` one row per run. Per-sample ratios d1/d2 are read when asked for.
Whatever was left out or is incomplete is said in `warnings`, which a caller shows.
"""

import csv
import io
import json
import warnings as python_warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diffmem import arguments
from diffmem.arguments import shown, whole
from diffmem.errors import InputError, first_line, reading
from diffmem.files import DamagedWarning, read_bytes, write_bytes
from diffmem.store import EvalDir, RunDir, find_runs

from .copies import without_copies
from .rows import RUN_COLUMNS, clean_rows
from .study import find_reference_runs, read_reference_runs

MAY_DIFFER = (  # options, or groups of them, in which the runs of one family may differ
    "data.n",
    "model.width",
    "model.classes",
    "seed",
    "data.index",
    "data.root",
    "data.decoder",
    "data.label_file",
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
INIT = "train.init"  # may name another network for each run, but all go on from one, or none does
KEYS = {"n": ("data.n", 1), "width": ("model.width", 1), "seed": ("seed", 0), "index": ("data.index", 0)}
ENDED = ("complete", "stopped")
CSV_LIMIT = 1 << 28  # bytes of a table


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
        """Gap ratios d1/d2 [M] of the samples drawn at `step`, in the order of their noise.

        None where they are not stored, or are damaged, which `warnings` then say.
        """
        arrays = self._samples(run, step, "d1", "d2")
        if arrays is None:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: NDArray[np.float64] = arrays["d1"].astype(np.float64) / arrays["d2"]
        return ratio

    def own(self, run: str, step: int) -> NDArray[np.float64] | None:
        """The part in p_train [M] of the samples at `step`, in the order of their noise; None as for `ratios`."""
        return (self._samples(run, step, "own") or {}).get("own")

    def settings(self, run: str) -> dict[str, Any]:
        """Dotted option -> value, empty from a csv."""
        return self._settings[run]

    def _samples(self, run: str, step: int, *names: str) -> dict[str, NDArray[Any]] | None:
        """The arrays `names` of the samples drawn at `step`; None where they are not stored, or are damaged."""
        path = self._paths[run]
        if path is None:
            return None
        try:
            return RunDir(Path(path)).primary.read_samples(step, names)
        except FileNotFoundError:
            return None
        except (InputError, OSError) as error:
            note = f"{run}: the samples of step {step} are left out: {error}"
            if note not in self.warnings:
                self.warnings.append(note)
            return None

    @cached_property
    def _paths(self) -> dict[str, str | None]:
        return dict(zip(self.runs["run"], self.runs["path"], strict=True))

    @cached_property
    def _settings(self) -> dict[str, dict[str, Any]]:
        return dict(zip(self.runs["run"], self.runs["settings"], strict=True))


def read_table(path: str | Path, samples: int | None = None, keep: str | None = None) -> Family:
    """The family in a folder of run directories, in a csv with the columns of `metrics.csv`, or in the study's files.

    `samples` is the number behind each percentage of the study's files, which do not hold it. Copies of a run count
    once; of several the one called `keep` stays. Raises InputError for a folder without runs, runs that are no family,
    a missing column, steps that do not ascend, counts larger than their total, or negative values.
    """
    path = arguments.path("path", path)
    samples = None if samples is None else whole("samples", samples, low=1)
    if path.is_file():
        if samples is not None:
            raise InputError(f"--samples={samples} is for the study's own text files, not for a csv: leave it out.")
        with reading(path):
            return _read_csv(path)
    notes: list[str] = []
    if path.is_dir() and (folders := find_reference_runs(path)):
        return as_family(*read_reference_runs(folders, samples, notes), path, notes, {}, keep)
    if samples is not None:
        raise InputError(f"--samples={samples} is for the study's own text files, and {path} holds none: leave it out.")
    runs, frames, checksums = [], [], {}
    networks: dict[str, tuple[str, object]] = {}
    for run in find_runs(path):
        with reading(run.path):
            entry, frame = read_run(run, notes)
        runs.append(entry)
        checksums[run.name] = run.data_sha256
        _check_networks(run, networks)
        if frame.empty:
            notes.append(f"{run.name}: no row of metrics yet; the run is left out.")
        else:
            frames.append(frame)
    if not frames:
        raise InputError(
            f"{path} holds no run with metrics: name a folder of run directories (each with config.yaml and "
            "metrics.jsonl), such as runs/quickstart."
        )
    return as_family(runs, frames, path, notes, checksums, keep)


def as_family(
    runs: list[dict[str, Any]],
    frames: list[pd.DataFrame],
    path: Path,
    notes: list[str],
    checksums: dict[str, str | None],
    keep: str | None,
) -> Family:
    """The family of `runs`, an entry each, and their rows, a frame each. Raises InputError where they are none."""
    order = ["n", "width", "seed", "index"]
    table = pd.DataFrame(runs).sort_values(order, kind="stable")
    check_one_family(table)
    rows = pd.concat(frames, ignore_index=True).sort_values(order, kind="stable", ignore_index=True)
    table = table[table["run"].isin(rows["run"])]
    table = without_copies(table, rows, notes, checksums, keep).reset_index(drop=True)
    rows = rows[rows["run"].isin(table["run"])].reset_index(drop=True)
    return Family(table, clean_rows(rows, str(path), notes), notes)


def _check_networks(run: RunDir, known: dict[str, tuple[str, object]]) -> None:
    """Raise InputError where a network that measured `run` has the name of another of the family's; `known` grows."""
    for name, about in run.read_meta().get("networks", {}).items():
        first, there = known.setdefault(name, (run.name, about))
        if about != there:
            raise InputError(
                f"the runs are no family: {name}, in whose features they were measured, is one network in {first} and "
                f"another in {run.name}. `diffmem evaluate` one of them again, in a space of another name."
            )


def write_metrics_csv(family: Family, path: str | Path) -> None:
    """Write `rows` as csv; every number reads back as the same bits."""
    write_bytes(Path(path), family.rows.to_csv(index=False).encode())


def check_one_family(runs: pd.DataFrame) -> None:
    """Raises InputError naming the options in which runs differ that must agree within a family."""
    if shown := differences(list(runs["settings"])):
        raise InputError(
            f"the runs are no family, they differ in {shown}: only n, width, seed and data.index may "
            "differ, so put the runs of one setting in a folder of their own."
        )


def differences(settings: Sequence[Mapping[str, Any]]) -> str:
    """The options, dotted, that must agree within a family and do not in these settings, with their values; or ''."""
    keys = sorted(set().union(*settings))
    fixed = [key for key in keys if not any(key == name or key.startswith(name) for name in MAY_DIFFER)]
    shown = []
    for key in fixed:
        values = {json.dumps(one.get(key) if key != INIT else one.get(key) is not None) for one in settings}
        if len(values) > 1:
            shown.append(f"{key} ({', '.join(sorted(values))})")
    return "; ".join(shown)


def _read_csv(path: Path) -> Family:
    try:
        content = read_bytes(path, CSV_LIMIT)
        header = next(csv.reader(io.StringIO(content.partition(b"\n")[0].decode("utf-8-sig"))), [])
        rows = pd.read_csv(io.BytesIO(content), dtype=str)  # numbers by float(): older pandas loses the last bit
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, csv.Error, OverflowError) as error:
        raise InputError(f"{path} cannot be read as csv: {first_line(error)}.") from error
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise InputError(f"{path} has the column {shown(twice[0])} twice: leave one of them.")
    if not isinstance(rows.index, pd.RangeIndex):
        raise InputError(f"{path} has rows of more values than its header has columns: mend them.")
    rows.index = pd.RangeIndex(2, len(rows) + 2, name="line")
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
    runs = rows.drop_duplicates("run")[list(RUN_COLUMNS)]
    runs = without_copies(runs, rows, notes, {}).reset_index(drop=True)
    rows = rows[rows["run"].isin(runs["run"])].reset_index(drop=True)
    runs = runs.assign(status="unknown", path=None, settings=pd.Series([{}] * len(runs), dtype=object))
    return Family(runs, rows, notes)


def read_run(run: RunDir, notes: list[str], evaluation: EvalDir | None = None) -> tuple[dict[str, Any], pd.DataFrame]:
    """The entry of a run and its rows, by default those of its own evaluation; `notes` grows by what is left out."""
    settings = dict(dotted(run.read_config()))
    try:
        key: dict[str, Any] = {
            "run": run.name,
            **{name: whole(option, settings[option], low=least) for name, (option, least) in KEYS.items()},
        }
    except KeyError as error:
        raise InputError(f"{run.config_path} lacks {error.args[0]}: it is not the config of a run.") from error
    except (TypeError, InputError) as error:
        raise InputError(f"{run.config_path}: {error} It is not the config of a run.") from error
    status = str(run.read_status().get("status", "unknown"))
    with python_warnings.catch_warnings(record=True) as caught:
        python_warnings.simplefilter("always", DamagedWarning)
        rows = (evaluation or run.primary).read_rows()
    notes.extend(str(one.message) for one in caught)
    if rows and status not in ENDED:
        notes.append(f"{run.name}: the run is {status}, not complete; what it did not reach counts as censored.")
    entry = {**key, "status": status, "path": str(run.path), "settings": settings}
    return entry, pd.DataFrame(rows).assign(**key) if rows else pd.DataFrame()


def dotted(mapping: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """The options of nested settings, `data.n`, with their values."""
    pairs: list[tuple[str, Any]] = []
    for key, value in mapping.items():
        pairs += dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(prefix + key, value)]
    return pairs
