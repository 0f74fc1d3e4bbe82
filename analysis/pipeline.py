"""A table of runs to everything that is said about it: tables, laws, figures and the report page.

`write_tables` writes metrics.csv, timescales.csv, laws.json, collapse.json and the phase tables, `draw` figures/,
`report` all of these and report.html, into one folder.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from diffmem.arguments import number, one_of, path, shown, whole
from diffmem.errors import InputError
from diffmem.files import check_files, check_folder, write_bytes
from diffmem.records import Film, SampleSheet
from diffmem.store import RunDir

from .figures import registry
from .figures.files import Picture, save
from .figures.material import Material
from .figures.samples import shown_steps
from .figures.window import window_steps
from .laws import phase
from .laws.advice import Advice, advise, cut
from .laws.collapse import family_collapse
from .laws.family import laws
from .laws.groups import GROUPS
from .laws.sentence import sentence
from .pages.compare import read_sections
from .pages.report import Report, write_report
from .tables.family import Family, read_table, write_metrics_csv
from .times.family import family_times, quality_read
from .times.level import sampler_note
from .times.words import window_end

TABLES = ("metrics.csv", "timescales.csv", "laws.json", "collapse.json", "phase.csv", "phase_boundary.csv")
FITS = Path("runs/fit")  # of tables that have no folder of runs to lie in
NO_BIAS = "the rows hold no p_train, so tau_bias is absent and the window ends at tau_mem"
NO_BIAS_COPIES = f"{NO_BIAS}, where 5% of samples are copies: samples lean towards the training images before that."


class Images(Protocol):
    """Reads the samples of a run directory beside their nearest training images; None or [] where there are none."""

    def sheet(self, path: Path, step: int) -> SampleSheet | None: ...

    def film(self, path: Path) -> Film | None: ...

    def same_noise(self, path: Path, steps: Sequence[int]) -> list[SampleSheet]:
        """The same samples at each step: those nearest to a training image at the last."""
        ...

    def pace(self, path: Path) -> float | None:
        """What a training step of the run adds to loss-weighted time; None where that is not known."""
        ...


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
    """How times are read and laws fitted: the arguments of `family_times`, the samples behind the study's percentages,
    and which runs err together (`laws.groups.GROUPS`)."""

    mem: str = "fmem_crosses"
    gen: str = "quality_reaches"
    bias: str = "bias_crosses"
    level: float | None = None
    quality: str | None = None
    loss_t: int | None = None
    samples: int | None = None
    group: str = "auto"

    def __post_init__(self) -> None:
        for name in ("mem", "gen", "bias", "quality", "group"):
            if not isinstance(getattr(self, name), str | None):
                raise TypeError(f"{name}={shown(getattr(self, name))} is not a word.")
        for name, least in (("loss_t", 0), ("samples", 1)):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), low=least)
        if self.level is not None:
            number("level", self.level)


def fit(source: str | Path, choices: Choices | None = None, out: str | Path | None = None) -> Fitted:
    """Read the runs in `source` and fit their timescales and laws.

    `source` is what `read_table` reads. What is written goes into `out`: by default the folder itself, or for a csv or
    a single run, whose own place nothing is written into, runs/fit/<its name>. Raises InputError where the source holds
    no family of runs.
    """
    source, chosen = path("source", source), choices or Choices()
    folder = path("out", out) if out else _place(source)
    check_folder(folder, "--out")
    check_files(folder, [*TABLES, "report.html", *registry.file_names()], "--out")
    family = read_table(source, chosen.samples)
    times = family_times(
        family,
        mem=chosen.mem,
        gen=chosen.gen,
        bias=chosen.bias,
        level=chosen.level,
        quality=chosen.quality,
        loss_t=chosen.loss_t,
    )
    if window_end(times) == "tau_mem":
        family.warnings.append(NO_BIAS_COPIES if chosen.mem == Choices.mem else f"{NO_BIAS} ({chosen.mem}).")
    family.warnings.extend(_few_calls(family, times))
    fitted = laws(times, group=chosen.group)
    collapsed = family_collapse(family, chosen.quality, group=chosen.group)
    try:
        diagram = phase.diagram(times, fitted["tau_mem"])
    except phase.PhaseRefused as refusal:
        diagram = None
        family.warnings.append(f"no phase diagram: {refusal}.")
    return Fitted(folder, family, times, fitted, collapsed, diagram, sentence(fitted, times))


def _place(source: Path) -> Path:
    """Where the tables of `source` go unless told otherwise."""
    if source.is_file():
        return FITS / source.stem
    return FITS / source.resolve().name if RunDir(source).config_path.is_file() else source


def advice(run: str | Path, at: int | None = None, group: str = "auto") -> Advice:
    """When to stop the run in the directory `run`, from the family in its folder; `at` as if it stood at that step.

    `group` says which runs err together (`laws.groups.GROUPS`).
    Raises InputError for a directory that is no run, or a step before its first row.
    """
    place = Path(os.path.realpath(path("run", run)))
    at = None if at is None else whole("at", at)
    RunDir(place).read_config()
    family = cut(read_table(place.parent, keep=place.name), place.name, at)
    return advise(family, family_times(family), place.name, one_of("group", group, GROUPS))


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


def material(fitted: Fitted, images: Images) -> Material:
    """What figures are drawn from, with the samples of runs that stored some."""
    shown = [images.sheet(run, step) for run, step in shown_steps(fitted.family, fitted.times)]
    window = window_steps(fitted.family, fitted.times)
    return Material(
        rows=fitted.family.rows,
        times=fitted.times,
        laws=fitted.laws,
        collapse=None if "refused" in fitted.collapse else fitted.collapse,
        diagram=fitted.diagram,
        sheets=[sheet for sheet in shown if sheet],
        window=images.same_noise(*window) if window else (),
    )


def draw(fitted: Fitted, drawn_from: Material, names: Sequence[str] = ()) -> dict[str, Picture]:
    """Draw every figure there is something for, or those of `names`, and write them into figures/, as PNG, SVG and CSV.

    Raises InputError for a name that is none of theirs, before anything is written.
    """
    pictures = registry.draw_all(drawn_from)
    for name in names:
        if name not in pictures:
            raise InputError(f"figure {name!r} is not one of those these runs have: {', '.join(pictures)}.")
    chosen = {name: picture for name, picture in pictures.items() if not names or name in names}
    for name, picture in chosen.items():
        save(picture.figure, picture.data, fitted.folder / "figures", name, fitted.folder)
    return chosen


def read_films(fitted: Fitted, images: Images) -> list[Film]:
    """The samples of every run that stored some, through its training."""
    paths = fitted.family.runs["path"].dropna()
    return [film for path in paths if (film := images.film(Path(path)))]


def report(fitted: Fitted, images: Images, notes: Sequence[str] = ()) -> Path:
    """Write the tables, the figures and the page; returns its path.

    What `images` leaves out it puts into `notes`. All is read before a file is written.
    """
    drawn_from, films = material(fitted, images), read_films(fitted, images)
    sections, left_out = read_sections(fitted.folder / "compare")
    fitted.family.warnings.extend([*notes, *left_out])
    write_tables(fitted)
    pictures = draw(fitted, drawn_from)
    page = Report(
        title=fitted.folder.resolve().name,
        sentence=fitted.sentence,
        times=fitted.times,
        laws=fitted.laws,
        rows=fitted.family.rows,
        runs=fitted.family.runs,
        figures=[(entry, pictures[entry.name].figure) for entry in registry.ENTRIES if entry.name in pictures],
        films=films,
        comparisons=sections,
        warnings=fitted.family.warnings,
    )
    return write_report(fitted.folder / "report.html", page)


def _few_calls(family: Family, times: pd.DataFrame) -> list[str]:
    """The note on the sampler's calls, which are the same for all runs of a family."""
    measure, run = quality_read(times), family.runs["run"].iloc[0]
    if measure is None:
        return []
    rows = family.rows[family.rows["run"] == run]
    note = sampler_note(rows, measure, family.settings(run).get("sampler.calls"))
    return [note] if note else []
