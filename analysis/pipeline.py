"""A table of runs to everything that is said about it: tables, laws, figures and the report page.

`write_tables` writes metrics.csv, timescales.csv, laws.json, collapse.json and the phase tables, `draw` figures/,
`report` all of these and report.html, into one folder.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from diffmem.errors import InputError
from diffmem.files import write_bytes
from diffmem.records import Film, SampleSheet
from diffmem.store import RunDir

from .figures import registry
from .figures.files import Picture, save
from .figures.material import Material
from .figures.samples import shown_steps
from .laws import phase
from .laws.advice import Advice, advise, cut
from .laws.collapse import family_collapse
from .laws.family import laws, sentence
from .pages.report import Report, write_report
from .tables.family import Family, read_table, write_metrics_csv
from .times.family import family_times

SheetReader = Callable[[Path, int], SampleSheet | None]  # of a run directory at a step; None: no sample images
FilmReader = Callable[[Path], Film | None]  # of a run directory


@dataclass(frozen=True)
class Fitted:
    """A family with its times, laws, collapse and phase diagram (None where there is none), and the law in words."""

    folder: Path
    family: Family
    times: pd.DataFrame
    laws: dict[str, dict[str, Any]]
    collapse: dict[str, Any]
    diagram: tuple[pd.DataFrame, pd.DataFrame] | None  # phases and their boundary
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How times are read: the arguments of `family_times`, and the samples behind the study's percentages."""

    mem: str = "fmem_crosses"
    gen: str = "quality_reaches"
    level: float | None = None
    quality: str | None = None
    loss_t: int | None = None
    samples: int | None = None


def fit(source: str | Path, choices: Choices | None = None, out: str | Path | None = None) -> Fitted:
    """Read the runs in `source` and fit their timescales and laws.

    `source` is what `read_table` reads. What is written goes into `out`: by default the folder itself, or for a csv
    the folder beside it that has its name. Raises InputError where the source holds no family of runs.
    """
    source, chosen = Path(source), choices or Choices()
    family = read_table(source, chosen.samples)
    times = family_times(
        family, mem=chosen.mem, gen=chosen.gen, level=chosen.level, quality=chosen.quality, loss_t=chosen.loss_t
    )
    fitted = laws(times)
    collapsed = family_collapse(family, chosen.quality)
    try:
        diagram = phase.diagram(times, fitted["tau_mem"])
    except phase.PhaseRefused as refusal:
        diagram = None
        family.warnings.append(f"no phase diagram: {refusal}.")
    folder = Path(out) if out else source.with_suffix("") if source.is_file() else source
    return Fitted(folder, family, times, fitted, collapsed, diagram, sentence(fitted, times))


def advice(run: str | Path, at: int | None = None) -> Advice:
    """When to stop the run in the directory `run`, from the family in its folder; `at` as if it stood at that step.

    Raises InputError for a directory that is no run, or a step before its first row.
    """
    path = Path(run).resolve()
    RunDir(path).read_config()
    family = cut(read_table(path.parent), path.name, at)
    return advise(family, family_times(family), path.name)


def write_tables(fitted: Fitted) -> None:
    """Write metrics.csv, timescales.csv, laws.json and collapse.json, and the phases and their boundary if any."""
    fitted.folder.mkdir(parents=True, exist_ok=True)
    write_metrics_csv(fitted.family, fitted.folder / "metrics.csv")
    write_bytes(fitted.folder / "timescales.csv", fitted.times.to_csv(index=False).encode())
    write_bytes(fitted.folder / "laws.json", json.dumps(fitted.laws, indent=1).encode() + b"\n")
    write_bytes(fitted.folder / "collapse.json", json.dumps(fitted.collapse, indent=1).encode() + b"\n")
    for name, table in zip(("phase.csv", "phase_boundary.csv"), fitted.diagram or (None, None), strict=True):
        if table is None:
            (fitted.folder / name).unlink(missing_ok=True)  # of an earlier fit
        else:
            write_bytes(fitted.folder / name, table.to_csv(index=False).encode())


def draw(fitted: Fitted, sheets: Sequence[SampleSheet], names: Sequence[str] = ()) -> dict[str, Picture]:
    """Draw every figure there is something for, or those of `names`, and write them into figures/, as PNG, SVG and CSV.

    Raises InputError for a name that is none of theirs, before anything is written.
    """
    pictures = registry.draw_all(_material(fitted, sheets))
    for name in names:
        if name not in pictures:
            raise InputError(f"figure {name!r} is not one of those these runs have: {', '.join(pictures)}.")
    chosen = {name: picture for name, picture in pictures.items() if not names or name in names}
    for name, picture in chosen.items():
        save(picture.figure, picture.data, fitted.folder / "figures", name)
    return chosen


def read_sheets(fitted: Fitted, read_sheet: SheetReader) -> list[SampleSheet]:
    """The samples to show, of runs that stored some; `read_sheet(run, step)` gives the images."""
    return [sheet for run, step in shown_steps(fitted.family, fitted.times) if (sheet := read_sheet(run, step))]


def read_films(fitted: Fitted, read_film: FilmReader) -> list[Film]:
    """The samples of every run that stored some, through its training; `read_film(run)` gives the images."""
    paths = fitted.family.runs["path"].dropna()
    return [film for path in paths if (film := read_film(Path(path)))]


def report(fitted: Fitted, read_sheet: SheetReader, read_film: FilmReader) -> Path:
    """Write the tables, the figures and the page; returns its path. The readers give sample images."""
    write_tables(fitted)
    pictures = draw(fitted, read_sheets(fitted, read_sheet))
    page = Report(
        title=fitted.folder.resolve().name,
        sentence=fitted.sentence,
        times=fitted.times,
        laws=fitted.laws,
        rows=fitted.family.rows,
        runs=fitted.family.runs,
        figures=[(entry, pictures[entry.name].figure) for entry in registry.ENTRIES if entry.name in pictures],
        films=read_films(fitted, read_film),
        comparisons=[path.read_text(encoding="utf-8") for path in sorted(fitted.folder.glob("compare/*/section.html"))],
        warnings=fitted.family.warnings,
    )
    return write_report(fitted.folder / "report.html", page)


def _material(fitted: Fitted, sheets: Sequence[SampleSheet]) -> Material:
    return Material(
        rows=fitted.family.rows,
        times=fitted.times,
        laws=fitted.laws,
        collapse=None if "refused" in fitted.collapse else fitted.collapse,
        diagram=fitted.diagram,
        sheets=sheets,
    )
