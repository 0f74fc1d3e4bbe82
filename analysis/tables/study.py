"""The text files of the study's own code as a family (Bonnaire et al. 2025).

    <run>/Memorization/fraction_memorized.txt   step, percent memorized, its standard error, low, high
    <run>/FID/FID_<k>.txt                       step, FID against test subset k; -1 where it failed

<run> is a folder such as CelebA32_1024_32_SGD_Momentum_512_0.0100_index0: data set and image size, n, W, optimizer,
batch, learning rate, index. The files hold neither the number of samples, which is given and checked against the
standard errors, nor a null, which is taken as 0. `fd_inception` is the mean over the test subsets, with the Student
interval of that mean where there are two or more.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from diffmem.definitions import FRECHET
from diffmem.errors import InputError
from diffmem.files import read_bytes
from diffmem.stats.intervals import wilson
from diffmem.study_folder import parse

SAMPLES = 10_000  # of the study
FID_COLUMN = f"{FRECHET}inception"
FMEM, FID = "Memorization/fraction_memorized.txt", "FID/FID_*.txt"


def find_reference_runs(path: Path) -> list[Path]:
    """The folders of the study's code at `path`: itself, or those in it; by name."""
    folders = [path] if _is_run(path) else sorted(entry for entry in path.iterdir() if entry.is_dir())
    return [folder for folder in folders if _is_run(folder)]


def read_reference_runs(
    folders: list[Path], samples: int | None, notes: list[str]
) -> tuple[list[dict[str, Any]], list[pd.DataFrame]]:
    """One entry (run, n, width, ..., settings) and one table of rows for each folder.

    `samples` is the number of samples behind each percentage, by default the study's 10,000. Raises InputError for a
    name that cannot be read, a damaged line, or standard errors that say another number of samples.
    """
    parsed = [parse(folder) for folder in folders]
    largest = max(name.batch for name in parsed)
    notes.append("the study's files hold no null: f_mem of held-out images is taken as 0.")
    entries, tables = [], []
    for folder, name in zip(folders, parsed, strict=True):
        key: dict[str, Any] = {"run": folder.name, "n": name.n, "width": name.width, "seed": 0, "index": name.index}
        settings = {
            "data": f"{name.data}{name.size}",
            "optimizer.name": name.optimizer,
            "optimizer.lr": name.lr,
            "train.batch": largest if name.batch == name.n else name.batch,  # batches are cut to n
        }
        entries.append({**key, "status": "unknown", "path": None, "settings": settings})
        tables.append(_rows(folder, samples or SAMPLES, notes).assign(**key))
    return entries, tables


def _is_run(path: Path) -> bool:
    return (path / FMEM).is_file() or any(path.glob(FID))


def _rows(folder: Path, samples: int, notes: list[str]) -> pd.DataFrame:
    parts = []
    if (folder / FMEM).is_file():
        table = _numbers(folder / FMEM, ["step", "percent", "error", "low", "high"])
        _check_samples(folder / FMEM, table, samples)
        count = (table["percent"] / 100 * samples).round().astype(int)
        bounds = [wilson(int(value), samples) for value in count]
        parts.append(
            pd.DataFrame(
                {
                    "step": table["step"],
                    "f_mem": count / samples,
                    "f_mem_count": count,
                    "f_mem_total": samples,
                    "f_mem_low": [low for low, _ in bounds],
                    "f_mem_high": [high for _, high in bounds],
                    "f_mem_null": 0.0,
                }
            ).set_index("step")
        )
    files = sorted(folder.glob(FID))
    if files:
        columns = [_numbers(file, ["step", "fid"]).set_index("step")["fid"] for file in files]
        fids = pd.concat(columns, axis=1)
        failed = int((fids <= 0).sum().sum())
        if failed:
            notes.append(f"{folder.name}: {failed} FID values are failures (-1) and count as missing.")
        parts.append(_quality(fids.where(fids > 0)))
    rows = pd.concat(parts, axis=1).sort_index()
    return rows.rename_axis("step").reset_index()


def _quality(fids: pd.DataFrame) -> pd.DataFrame:
    """Mean over the test subsets [steps, subsets] and its 95% interval."""
    count, mean = fids.count(axis=1), fids.mean(axis=1)
    half = stdtrit(np.maximum(count - 1, 1), 0.975) * fids.std(axis=1) / np.sqrt(count)
    out = pd.DataFrame({FID_COLUMN: mean})
    if (count > 1).any():
        out[f"{FID_COLUMN}_low"], out[f"{FID_COLUMN}_high"] = mean - half, mean + half
    return out.dropna(subset=FID_COLUMN)


def _numbers(file: Path, names: list[str]) -> pd.DataFrame:
    """The table of a text file: one line a step, numbers apart by blanks; the first five columns at most are read."""
    rows = []
    for place, line in enumerate(read_bytes(file).decode(errors="replace").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if len(values) != len(names) or not values[0].is_integer():
            raise InputError(
                f"{file}, line {place}: {line.strip()[:60]!r} is not the {len(names)} numbers {', '.join(names)}."
            )
        rows.append(values)
    if not rows:
        raise InputError(f"{file} holds no line: remove it, or compute it again.")
    table = pd.DataFrame(rows, columns=names)
    repeated = table["step"][table["step"].duplicated()]
    if len(repeated):
        raise InputError(f"{file}: step {repeated.iloc[0]:.0f} stands on two lines: leave one of them.")
    return table.astype({"step": np.int64}).sort_values("step", ignore_index=True)


def _check_samples(file: Path, table: pd.DataFrame, samples: int) -> None:
    """The standard error of a share p of N samples is sqrt(p (1 - p) / N)."""
    known = table[(table["error"] > 0) & table["percent"].between(1, 99)]
    if known.empty:
        return
    share = known["percent"] / 100
    implied = float((share * (1 - share) / (known["error"] / 100) ** 2).median())
    if not 0.75 < implied / samples < 1.33:
        raise InputError(
            f"--samples={samples} does not fit {file}: its standard errors are those of about {implied:.0f} samples."
        )
