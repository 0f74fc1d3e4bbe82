"""Pages for the tests: a report to write, a reader of what stands on a page, and a name that tries to be markup."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd

from diffmem.analysis.pages.report import Report, write_report
from tests.helpers.picture_tables import LAWS, family, films

EVIL = '$x_{$ <script>alert("x")</script>\'"&--><img src=http://evil.example/x>'


class Reader(HTMLParser):
    """Elements with attributes, and the text of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "img", "br", "link", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def settings(n: int, **changed: Any) -> dict[str, Any]:
    return {
        "data.name": "digits",
        "data.n": n,
        "data.index": 0,
        "model.multipliers": [1, 2],
        "optimizer.lr": 1e-3,
    } | changed


def written(folder: Path, **changed: Any) -> str:
    """The report of two runs made by formula, in a folder that it makes; `changed` replaces fields of its `Report`."""
    rows, times = family(ns=(32, 1024))
    runs = times[["run", "n", "width", "seed", "index"]].assign(
        status=["complete", "stopped"],
        settings=pd.Series([settings(32), settings(1024, **{"train.steps": 9})], dtype=object),
        path="/secret",
    )
    arguments: dict[str, Any] = {
        "title": "digits",
        "sentence": "tau_mem ~ n^1.02 [0.91, 1.13], tau_gen ~ n^-0.01 [-0.06, 0.04]",
        "times": times,
        "laws": LAWS,
        "rows": rows,
        "films": films(),
        "runs": runs,
        "warnings": ["one run dips"],
    }
    path = write_report(folder / "deep" / "report.html", Report(**(arguments | changed)))
    return path.read_text(encoding="utf-8")
