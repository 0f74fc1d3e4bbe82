"""The report: one file that loads nothing, hides nothing that was not reached, and takes no markup from a run."""

import base64
import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis.figures import registry
from diffmem.analysis.figures.material import Material
from diffmem.analysis.figures.registry import Entry
from diffmem.analysis.figures.samples import samples_beside_neighbours
from diffmem.analysis.figures.times_vs_n import times_vs_n
from diffmem.analysis.pages import markup, report, report_tables
from diffmem.analysis.pages.terms import TERMS
from diffmem.analysis.times import words
from diffmem.analysis.times.tau_gen import GEN_DEFINITIONS
from diffmem.analysis.times.tau_mem import MEM_DEFINITIONS
from diffmem.definitions import BOOKENDS
from diffmem.errors import InputError
from tests.helpers.pages import EVIL, Reader, written
from tests.helpers.picture_tables import LAWS, family, films, sheets

ENTRY = {entry.name: entry for entry in registry.ENTRIES}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    rows, times = family(ns=(32, 1024))
    drawn = registry.draw_all(Material(rows=rows, times=times, laws=LAWS, sheets=sheets((32,), (6000,))))
    figures = [(ENTRY[name], picture.figure) for name, picture in drawn.items()]
    return written(tmp_path_factory.mktemp("report"), figures=figures)


def loads(page: str) -> list[str]:
    """Whatever a browser would fetch: addresses in attributes and styles that are neither inside the page nor data."""
    addresses = re.findall(r"url\(\s*['\"]?([^)'\"]*)", page) + re.findall(r"@import\s+(\S+)", page)
    for _, attributes in Reader(page).elements:
        addresses += [
            attributes[name] for name in ("src", "href", "xlink:href", "srcset", "data", "action") if name in attributes
        ]
    return [
        address
        for address in addresses
        if not address.startswith(("#", "data:image/png;base64,", "data:image/jpeg;base64,"))
    ]


def test_page_loads_nothing(page: str) -> None:
    assert loads(page) == []
    assert "http" not in page.replace("http-equiv", "")
    assert len(page.encode()) < 1_000_000


def test_page_is_well_formed_and_ids_are_unique(page: str) -> None:
    reader = Reader(page)
    assert not reader.open
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 10
    used = re.findall(r"(?:href=\"|url\()#([^\")]+)", page)
    assert set(used) <= set(ids)


def test_law_and_figure_come_first(page: str) -> None:
    assert page.index("<sup>1.02</sup>") < page.index('id="figure-times_vs_n"') < page.index("<table>")
    assert "<i>τ</i><sub>mem</sub> ∝ <i>n</i><sup>1.02</sup> [0.91, 1.13]" in page


def test_every_time_is_there_with_its_censoring_in_words(page: str) -> None:
    text = Reader(page).text
    _, times = family(ns=(32, 1024))
    for row in times.to_dict("records"):
        for name in ("tau_gen", "tau_mem"):
            reached = row[f"{name}_status"] == "reached"
            ends = (row[f"{name}_low"], row[f"{name}_high"])
            assert (words.interval(row[name], *ends) if reached else "> 6,000 (not reached)") in text
    assert "> 6,000 (not reached)" in text
    assert "4 of 6 runs reached it; 3 degrees of freedom" in text


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {"tau_mem_status": "reached", "tau_mem": 1234.4, "tau_mem_low": 900.0, "tau_mem_high": 2000.0},
            "1,200 [900, 2,000]",
        ),
        ({"tau_mem_status": "reached", "tau_mem": 7.25, "tau_mem_low": np.nan, "tau_mem_high": np.nan}, "7.2"),
        (
            {"tau_mem_status": "reached", "tau_mem": 50.0, "tau_mem_low": 4.0, "tau_mem_high": np.inf},
            "50 [4, not reached]",
        ),
        ({"tau_mem_status": "right", "tau_mem": np.nan, "tau_mem_last_step": 6000}, "> 6,000 (not reached)"),
        ({"tau_mem_status": "left", "tau_mem": np.nan, "tau_mem_last_step": 50.0}, "< 50 (already true there)"),
        ({"tau_mem_status": "refused"}, "refused, see notes"),
        ({}, "not measured"),
    ],
)
def test_time_in_words(row: dict[str, Any], expected: str) -> None:
    assert words.time_words(row, "tau_mem") == expected


def test_notes_have_a_row_of_their_own_and_nothing_is_blank(tmp_path: Path) -> None:
    rows, times = family(ns=(32, 1024))
    notes = ["tau_gen: a long story about what was not reached", ""]
    runs = rows.drop_duplicates("run")[["run", "n", "width", "seed", "index"]].assign(status="complete", path=None)
    chosen = [{"data.root": None, "optimizer.clip": value} for value in (None, 1.0)]
    runs["settings"] = pd.Series(chosen, index=runs.index, dtype=object)
    page = written(tmp_path, rows=rows, times=times.assign(notes=notes), runs=runs)
    assert page.count('<tr class="notes">') == 1
    assert re.search(r'<tr class="notes"><td colspan="10">.*a long story', page)
    assert "<dt>data.root</dt> <dd>null</dd>" in page
    assert "<td>null</td>" in page
    assert not re.search(r"<td[^>]*></td>", re.sub(r"(?s)<h3>Laws</h3>.*?</table>", "", page))
    assert report_tables.bookend_table(rows.assign(**{"fd_pixels@real": np.nan, "fd_pixels@gaussian": 2.0})) == {
        "measures": ["fd_pixels"],
        "rows": [
            {"name": "gaussian", "words": BOOKENDS["gaussian"], "values": ["2"]},
            *({"name": f"copies, n = {n}", "words": BOOKENDS["copies"], "values": ["–"]} for n in ("32", "1,024")),
        ],
    }


def test_window_in_words() -> None:
    both = {"tau_gen_status": "reached", "tau_gen": 100.0, "tau_mem_status": "reached", "tau_mem": 250.0}
    assert words.window_words(both) == "2.5×"
    assert words.window_words(both | {"tau_mem_status": "right", "tau_mem_last_step": 6000}) == "> 60×"
    assert words.window_words(both | {"tau_gen_status": "right"}) == "–"


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    rows, times = family(ns=(32, 1024))
    times = times.assign(run=[EVIL, "b"], notes=[EVIL, ""])
    laws = {"tau_mem": {"refused": EVIL, "n_runs": 2, "n_reached": 1, "definition": EVIL}}
    runs = times[["run", "n"]].assign(status=EVIL, settings=pd.Series([{EVIL: EVIL}, {EVIL: 1}], dtype=object))
    hostile_entry = Entry(EVIL, EVIL, EVIL, lambda _: None)
    hostile = written(
        tmp_path,
        title=EVIL,
        sentence=EVIL,
        times=times,
        laws=laws,
        rows=rows.replace({rows["run"].iloc[0]: EVIL}),
        figures=[(entry, times_vs_n(times, laws)) for entry in (ENTRY[report.FIRST], hostile_entry)],
        films=[dataclasses.replace(film, run=EVIL) for film in films()],
        runs=runs,
        warnings=[EVIL],
    )
    reader = Reader(hostile)
    assert loads(hostile) == []
    assert not reader.open
    scripts = [attributes for tag, attributes in reader.elements if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "film-data"}, {}]  # ours
    assert not [name for _, attributes in reader.elements for name in attributes if name.startswith("on")]
    assert reader.text.count(EVIL) >= 8


def test_without_films_there_is_no_script_and_the_figure_of_samples_stays(tmp_path: Path) -> None:
    drawn = samples_beside_neighbours(sheets((32,), (6000,)))
    shown = written(tmp_path, films=[], figures=[(ENTRY[report.MOVED], drawn)])
    assert 'class="photo"' in shown
    assert "<svg" not in shown
    assert "script" not in shown


def test_only_the_one_script_may_run(page: str) -> None:
    (policy,) = [entry["content"] for tag, entry in Reader(page).elements if "http-equiv" in entry]
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_the_page_shows_samples_before_any_script_has_run(page: str) -> None:
    """What is printed, or shown without scripts: each run where the runs differ most, as the slider finds it."""
    data = json.loads(re.findall(r'id="film-data">(.*?)</script>', page)[0])
    start = int(re.findall(r'id="time" min="0" max="18" value="(\d+)"', page)[0])
    for film, shown in zip(data["films"], re.findall(r"<article.*?</article>", page, flags=re.DOTALL), strict=True):
        frame = film["frames"][film["rows"][start]]
        assert re.findall(r'class="value">([^<]*)', shown) == frame["values"]
        assert re.findall(r'class="ratio">([^<]*)', shown) == frame["ratios"]
        assert [bool(word) for word in re.findall(r'class="pair( memorized)?"', shown)] == frame["copies"]
        assert f'data-phase="{frame["phase"]}"' in shown
    assert 'id="timeline" hidden' in page


def test_settings_are_split_into_what_differs_and_what_does_not(page: str) -> None:
    assert re.search(r'<th scope="col">train\.steps</th>', page)
    assert "<dt>optimizer.lr</dt> <dd>0.001</dd>" in page
    assert "/secret" not in page
    assert "data.index" not in page  # a column of its own
    assert "stopped" in page


def test_every_picture_has_words_for_those_who_cannot_see(page: str) -> None:
    for tag, attributes in Reader(page).elements:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes["role"] == "img"
            assert "n = 32, 1,024" in attributes["aria-label"]


def test_page_is_the_same_twice_and_needs_little(tmp_path: Path) -> None:
    assert written(tmp_path / "a") == written(tmp_path / "b")
    empty = pd.DataFrame({"run": ["a"], "n": [2]})
    bare = written(tmp_path, times=empty, laws={}, rows=empty.assign(step=0), films=[], runs=empty, warnings=[])
    assert "not measured" in Reader(bare).text
    assert "Read these first" not in bare


def test_text_that_is_no_svg_is_refused() -> None:
    with pytest.raises(InputError, match="without an <svg>"):
        markup.inline_svg("figure.svg", "x", "words")
    inline = markup.inline_svg('<?xml version="1.0"?><svg viewBox="0 0 1 1"><g id="a"/></svg>', "x", "words")
    assert '<g id="x-a"/>' in inline


def test_every_definition_has_its_words() -> None:
    assert {*MEM_DEFINITIONS, *GEN_DEFINITIONS} <= set(TERMS)


@pytest.mark.slow
def test_comparisons_stored_beside_the_runs_are_on_the_page(tmp_path: Path) -> None:
    assert "Comparisons" not in written(tmp_path)
    shown = written(tmp_path, comparisons=['<section id="one">first</section>', '<section id="two">second</section>'])
    assert shown.index('<a id="comparisons">') < shown.index('<section id="one">first') < shown.index('id="two"')
    assert shown.count('id="comparisons"') == 1
