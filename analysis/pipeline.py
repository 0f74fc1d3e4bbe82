"""A folder of runs to everything that is said about it: tables, laws, figures and the report page.

`fit` writes metrics.csv, timescales.csv and laws.json, `report` figures/ and report.html, all into the folder.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from diffmem.store import write_bytes
from diffmem.version import __version__

from .figures import SampleSheet, draw_all, save
from .report import write_report
from .scaling import laws, sentence
from .table import Family, read_table, write_metrics_csv
from .timescales import family_times

# (run directory, step) -> the fields of a SampleSheet; None where there are no sample images
SheetReader = Callable[[Path, int], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Fitted:
    """A family with its times and laws, and the law in one sentence."""

    folder: Path
    family: Family
    times: pd.DataFrame
    laws: dict[str, dict[str, Any]]
    sentence: str


def fit(folder: str | Path) -> Fitted:
    """Read the runs in `folder`, fit their timescales and laws, and write metrics.csv, timescales.csv, laws.json.

    Raises InputError where the folder holds no family of runs.
    """
    folder = Path(folder)
    family = read_table(folder)
    times = family_times(family)
    fitted = laws(times)
    write_metrics_csv(family, folder / "metrics.csv")
    write_bytes(folder / "timescales.csv", times.to_csv(index=False).encode())
    write_bytes(folder / "laws.json", json.dumps(fitted, indent=1).encode() + b"\n")
    return Fitted(folder, family, times, fitted, sentence(fitted, times))


def report(fitted: Fitted, read_sheet: SheetReader) -> Path:
    """Draw the figures and write the page; returns its path. `read_sheet(run, step)` gives sample images."""
    sheets = [SampleSheet(**sheet) for run, step in _shown(fitted) if (sheet := read_sheet(run, step))]
    rows = fitted.family.rows
    pictures = draw_all(rows, fitted.times, fitted.laws, sheets)
    for name, picture in pictures.items():
        save(picture.figure, picture.data, fitted.folder / "figures", name)
    return write_report(
        fitted.folder / "report.html",
        title=fitted.folder.resolve().name,
        sentence=fitted.sentence,
        times=fitted.times,
        laws=fitted.laws,
        rows=rows,
        figures={name: picture.figure for name, picture in pictures.items()},
        sheets=sheets,
        runs=fitted.family.runs,
        warnings=fitted.family.warnings,
        version=__version__,
    )


def _shown(fitted: Fitted) -> Sequence[tuple[Path, int]]:
    """The (run, step) pairs whose samples are shown: smallest, middle and largest n, from quality to memorization."""
    runs = fitted.family.runs.sort_values(["n", "width", "seed"], kind="stable")
    places = sorted({0, len(runs) // 2, len(runs) - 1})
    pairs = []
    for entry in runs.iloc[places].to_dict("records"):
        steps = fitted.family.rows.loc[fitted.family.rows["run"] == entry["run"], "step"].tolist()
        time = fitted.times.set_index("run").loc[entry["run"]]
        wanted = [value for value in (time["tau_gen"], time["tau_mem"]) if pd.notna(value)]
        chosen = {steps[int(np.abs(np.array(steps) - value).argmin())] for value in wanted}
        pairs += [(Path(entry["path"]), step) for step in sorted({steps[len(steps) // 3], *chosen, steps[-1]})]
    return pairs
