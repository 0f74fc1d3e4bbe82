"""Figures and tables to one HTML file that needs nothing else: it opens from disk and asks for no other file.

Run names, settings, notes and warnings are escaped. A figure given as text is taken as SVG of our own making and
inlined as it is. The words for times, windows and definitions live here, the page's structure in report.html.
"""

import base64
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from diffmem.definitions import GEN_WORDS, MEM_WORDS
from diffmem.errors import InputError
from diffmem.files import write_bytes
from diffmem.records import Film

from ..figures.registry import render
from ..times.words import time_words, window_words
from .slider import slider

TEMPLATE = Path(__file__).with_name("html") / "report.html"
FIRST, SHEETS = "times_vs_n", "samples_beside_neighbours"
# name -> title, what to look for
CAPTIONS = {
    FIRST: (
        "When to stop: the two times against n",
        "Filled marks are times with their 95% interval; an open mark with an arrow is a bound, because the run had "
        "not reached that time by its last step (up) or was past it at its first (down). Lines are the fitted laws.",
    ),
    "memorization_and_quality": (
        "Memorization and quality during training",
        "The same curves twice: against training time, and against training time per training image. Curves that lie "
        "on each other on the left do not depend on n; curves that lie on each other on the right move in proportion "
        "to n. Bands are 95% intervals.",
    ),
    "fmem_vs_step_per_n": (
        "Memorization against training time per image",
        "If the memorization time grows in proportion to n, the curves of all n fall together here.",
    ),
    "collapse": (
        "Collapse of the memorization curves",
        "On the left as measured; on the right against training time divided by the powers of n (and W) that bring the "
        "curves together best. Both axes span equally many decades, so what narrows from left to right is explained.",
    ),
    "phase_diagram": (
        "Phase diagram: who memorizes when",
        "At a few round numbers of steps, which runs memorize, which generalize and which are not trained enough. The "
        "black line is the boundary n* with its 95% interval; an arrow is a bound, where n* lies beyond the runs.",
    ),
    "losses": (
        "Losses at fixed diffusion times",
        "Where the two losses part, the network begins to learn its own training images by heart.",
    ),
    SHEETS: (
        "Generated samples beside their nearest training images",
        "Above: generated; below: the nearest training image; the number is d1/d2, and a red frame is a memorized one.",
    ),
}
# the terms of the page, and of the definitions that a law names
TERMS = {
    "f_mem": "For each generated sample, d1 and d2 are its Euclidean distances to the two nearest distinct training "
    "images. The sample counts as memorized where d1/d2 is below k (1/3 unless the settings say otherwise); f_mem is "
    "the share of such samples, with a Wilson 95% interval.",
    "null": "The same share for held-out real images instead of generated samples: what f_mem shows when nothing is "
    "memorized.",
    "quality": "The Fréchet distance between generated and held-out images, both in [0, 1] pixels, in the feature "
    "space that the column names. Lower is better.",
    **MEM_WORDS,
    **GEN_WORDS,
    "window": "τ_mem / τ_gen: between the two times samples are good and not yet copies, so this is where to stop.",
    "law": "log τ = log C + α log n, and + β log W where widths vary, fitted to all runs at once. A run that did not "
    "reach a time counts by the probability that it takes longer than could have been seen; no number is put in its "
    "place.",
    "collapse": "The exponents for which f_mem against τ / (n^α W^β) is one curve as nearly as can be. Its score is "
    "the spread that is left: the standard deviation of log training time at equal f_mem, 0 for a perfect collapse.",
    "n*": "The number of training images at which τ_mem is the given step: runs with fewer memorize by then, runs with "
    "more do not. It is read between two neighbouring n, and is a bound where all runs lie on one side. A run that "
    "ended before that step without memorizing is unknown there.",
    "intervals": "All intervals are at 95%. Those of times come from drawing the samples again, those of the law from "
    "drawing whole runs again, or from Student's t where fewer than eight runs reached the time.",
}
ALWAYS = ("f_mem", "null", "quality", "window", "law", "collapse", "n*", "intervals")


def write_report(
    path: str | Path,
    *,
    title: str,
    sentence: str,
    times: pd.DataFrame,
    laws: Mapping[str, Mapping[str, Any]],
    rows: pd.DataFrame,
    figures: Mapping[str, Figure | str],
    films: Sequence[Film],
    comparisons: Sequence[str],
    runs: pd.DataFrame,
    warnings: Sequence[str],
    version: str,
) -> Path:
    """Write one self-contained HTML file to `path` and return it.

    `sentence` is the law in words, `times` one row a run (`timescales.csv`), `laws` name -> fit (`laws.json`),
    `rows` the family's table, `figures` name -> Figure or SVG text, `runs` one row a run with its status and a
    dict of `settings`, `films` the samples that the slider moves, `comparisons` sections that `diffmem compare` wrote.
    Raises InputError where a figure given as text is no SVG.
    """
    shown = {name: figure for name, figure in figures.items() if not (name == SHEETS and films)}
    pictures = [_picture(name, figure, _alt(name, sentence, rows)) for name, figure in shown.items()]
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["symbols"] = symbols
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=title,
        sentence=sentence,
        first=next((picture for picture in pictures if picture["name"] == FIRST), None),
        figures=[picture for picture in pictures if picture["name"] != FIRST],
        times=_time_rows(times, rows),
        laws=[_law_row(name, fit) for name, fit in laws.items()],
        slider=slider(films, rows, times) if films else None,
        comparisons=[Markup(section) for section in comparisons],
        runs=_run_table(runs),
        warnings=list(warnings),
        terms=_terms(laws),
        version=version,
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, page.encode(), durable=False)
    return path


def _terms(laws: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The terms of the page with what they mean; those of the times are the definitions that the laws name."""
    used = {fit.get("definition"): f"{name} ({fit.get('definition')})" for name, fit in laws.items()}
    labels = {name: name for name in ALWAYS} | used
    return {labels[name]: text for name, text in TERMS.items() if name in labels}


def symbols(text: str) -> Markup:
    """Escaped text with tau_mem, f_mem, n^1.02 and the like set as symbols."""
    out = re.sub(r"(?:tau|τ)_(mem|gen)", r"<i>τ</i><sub>\1</sub>", str(escape(text)))
    out = re.sub(r"\bf_mem\b", "<i>f</i><sub>mem</sub>", out)
    out = re.sub(r"\b([nW])\^(-?[\d.]*\d)", lambda m: f"<i>{m[1]}</i><sup>{m[2].replace('-', '−')}</sup>", out)
    return Markup(re.sub(r"(?<![\w.])-(?=\d)", "−", out).replace(" ~ ", " ∝ "))


def _time_rows(times: pd.DataFrame, rows: pd.DataFrame) -> list[dict[str, str]]:
    ends = {}
    if "f_mem" in rows:
        measured = rows.dropna(subset="f_mem").sort_values("step").groupby("run").tail(1)
        ends = {row["run"]: row for row in measured.to_dict("records")}
    out = []
    for row in times.sort_values(["n", "run"]).to_dict("records"):
        end = ends.get(row["run"])
        words = {
            "run": str(row["run"]),
            "n": f"{row['n']:,}",
            "width": _plain(row.get("width")),
            "seed": _plain(row.get("seed")),
        }
        words |= {name: time_words(row, name) for name in ("tau_gen", "tau_mem")}
        words["window"] = window_words(row)
        words["end"] = "not measured" if end is None else f"{end['f_mem']:.3f}{_range(end)} at step {end['step']:,}"
        words["notes"] = _plain(row.get("notes"))
        out.append(words)
    return out


def _range(row: Mapping[Any, Any]) -> str:
    low, high = row.get("f_mem_low", math.nan), row.get("f_mem_high", math.nan)
    return "" if math.isnan(low) or math.isnan(high) else f" [{low:.3f}, {high:.3f}]"


def _law_row(name: str, fit: Mapping[str, Any]) -> dict[str, str]:
    used = f"{fit['n_reached']} of {fit['n_runs']} runs reached it" if "n_runs" in fit else ""
    if fit.get("refused") or "alpha" not in fit:
        return {
            "name": name,
            "law": f"no law: {fit.get('refused') or 'not fitted'}",
            "alpha": "",
            "beta": "",
            "used": used,
        }
    law = f"{name} ~ n^{fit['alpha']:.2f}"
    beta = ""
    if fit.get("beta") is not None:
        law += f" W^{fit['beta']:.2f}"
        beta = f"{fit['beta']:.2f} [{fit['beta_low']:.2f}, {fit['beta_high']:.2f}]"
    alpha = f"{fit['alpha']:.2f} [{fit['low']:.2f}, {fit['high']:.2f}]"
    used += f"; {fit['dof']} degrees of freedom" if used and "dof" in fit else ""
    return {"name": name, "law": law, "alpha": alpha, "beta": beta, "used": used}


def _run_table(runs: pd.DataFrame) -> dict[str, Any]:
    """Columns and rows of what differs between the runs, and what is the same in all of them."""
    given = runs["settings"] if "settings" in runs else [None] * len(runs)
    settings: list[Mapping[str, Any]] = [entry if isinstance(entry, Mapping) else {} for entry in given]
    names = sorted({name for entry in settings for name in entry} - {"data.n", "model.width", "seed", "data.index"})
    values = {name: [_plain(entry.get(name)) for entry in settings] for name in names}
    varied = {name: column for name, column in values.items() if len(set(column)) > 1}
    keys = [name for name in runs if name not in ("settings", "path")]
    columns = {str(name): [_plain(value) for value in runs[name]] for name in keys} | varied
    return {
        "columns": list(columns),
        "rows": list(zip(*columns.values(), strict=True)),
        "common": {name: column[0] for name, column in values.items() if name not in varied},
    }


def _plain(value: Any) -> str:
    """A cell: nothing for a missing value, whole numbers without a point."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _alt(name: str, sentence: str, rows: pd.DataFrame) -> str:
    """What the figure shows, for those who cannot see it."""
    title, look = CAPTIONS.get(name, (name, ""))
    ns = ", ".join(f"{n:,}" for n in sorted(set(rows["n"]))) if "n" in rows else ""
    return f"{title}, for n = {ns}. {sentence if name == FIRST else look}"


def _picture(name: str, figure: Figure | str, alt: str) -> dict[str, Any]:
    """Line drawings as inline SVG, figures that hold images as an embedded PNG."""
    title, caption = CAPTIONS.get(name, (name, ""))
    if isinstance(figure, Figure) and any(axes.images for axes in figure.axes):
        body = Markup('<img class="photo" alt="{}" src="{}">').format(alt, _data_url(render(figure, "png")))
    else:
        svg = figure if isinstance(figure, str) else render(figure, "svg").decode()
        body = _inline(svg, name, alt)
    return {"name": name, "title": title, "caption": caption, "body": body}


def _inline(svg: str, name: str, alt: str) -> Markup:
    """SVG text as an element of the page: ids of its own, no prolog, no metadata, as wide as its place."""
    start, stop = svg.find("<svg"), svg.rfind("</svg>")
    if start < 0 or stop < 0:
        raise InputError(f"figures[{name!r}] is text without an <svg> element: give a Figure or SVG text.")
    svg = svg[start : stop + len("</svg>")]
    head, body = svg.split(">", 1)
    box, width = re.search(r'viewBox="[-\d. ]+"', head), re.search(r'\bwidth="([\d.]+)pt"', head)
    natural = Markup('style="max-width: {:.0f}px"').format(float(width[1]) * 96 / 72) if width else ""
    label = Markup('<svg class="plot" {} {} role="img" aria-label="{}">').format(
        Markup(box[0]) if box else "", natural, alt
    )
    key = re.sub(r"\W", "-", name)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{key}-', body)
    body = re.sub(r'\b(?:xlink:)?href="#', f'href="#{key}-', body)
    body = body.replace("url(#", f"url(#{key}-")
    return label + Markup(body)


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
