"""The report of a family as one HTML file that needs nothing else: it opens from disk and asks for no other file.

Run names, settings, notes and warnings are escaped. Titles and captions of the figures are those of their registry,
the page's structure is in report.html.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from diffmem.files import write_bytes
from diffmem.records import Film
from diffmem.version import __version__

from ..figures.files import render
from ..figures.registry import Entry
from .markup import fill, inline_svg, photo
from .report_tables import bookend_table, law_row, run_table, time_columns, time_rows
from .slider import slider
from .terms import terms

FIRST = "times_vs_n"  # stands above all tables
MOVED = "samples_beside_neighbours"  # what the slider shows better


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the page shows.

    `sentence` is the law in words, `times` one row a run (`timescales.csv`), `laws` name -> fit (`laws.json`),
    `rows` the family's table, `runs` one row a run with its status and a dict of `settings`, `films` the samples that
    the slider moves, `comparisons` sections that `diffmem compare` wrote.
    """

    title: str
    sentence: str
    times: pd.DataFrame
    laws: Mapping[str, Mapping[str, Any]]
    rows: pd.DataFrame
    runs: pd.DataFrame
    figures: Sequence[tuple[Entry, Figure]] = ()
    films: Sequence[Film] = ()
    comparisons: Sequence[str] = ()
    warnings: Sequence[str] = ()


def write_report(path: Path, report: Report) -> Path:
    """Write one self-contained HTML file to `path` and return it."""
    shown = [(entry, figure) for entry, figure in report.figures if not (entry.name == MOVED and report.films)]
    pictures = [_picture(entry, figure, _alt(entry, report)) for entry, figure in shown]
    page = fill(
        "report.html",
        title=report.title,
        sentence=report.sentence,
        first=next((picture for picture in pictures if picture["name"] == FIRST), None),
        figures=[picture for picture in pictures if picture["name"] != FIRST],
        time_columns=time_columns(report.times),
        times=time_rows(report.times, report.rows),
        bookends=bookend_table(report.rows),
        laws=[law_row(name, fit) for name, fit in report.laws.items()],
        slider=slider(report.films, report.rows, report.times) if report.films else None,
        comparisons=[Markup(section) for section in report.comparisons],
        runs=run_table(report.runs),
        warnings=list(report.warnings),
        terms=terms(report.laws),
        version=__version__,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, page.encode(), durable=False)
    return path


def _alt(entry: Entry, report: Report) -> str:
    """What the figure shows, for those who cannot see it."""
    ns = ", ".join(f"{n:,}" for n in sorted(set(report.rows["n"])))
    return f"{entry.title}, for n = {ns}. {report.sentence if entry.name == FIRST else entry.caption}"


def _picture(entry: Entry, figure: Figure, alt: str) -> dict[str, Any]:
    """Line drawings as inline SVG, figures that hold images as an embedded PNG."""
    if any(axes.images for axes in figure.axes):
        body = photo(render(figure, "png"), alt)
    else:
        body = inline_svg(render(figure, "svg").decode(), entry.name, alt)
    return {"name": entry.name, "title": entry.title, "caption": entry.caption, "body": body}
