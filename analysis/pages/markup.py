"""What the pages are made of: templates, symbols, figures as elements. Whatever comes from outside is escaped."""

import base64
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from diffmem.errors import InputError

FOLDER = Path(__file__).with_name("html")


def fill(template: str, **values: Any) -> str:
    """The `template` of the folder html with `values` in it, escaped unless they are Markup."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["symbols"] = symbols
    return environment.from_string((FOLDER / template).read_text(encoding="utf-8")).render(values)


def style() -> Markup:
    """The <style> of the report, for a page of its own."""
    element = re.search(r"<style>.*?</style>", (FOLDER / "report.html").read_text(encoding="utf-8"), re.DOTALL)
    assert element is not None
    return Markup(element[0])


def symbols(text: str) -> Markup:
    """Escaped text with tau_mem, f_mem, n^1.02 and the like set as symbols."""
    out = re.sub(r"(?:tau|τ)_(mem|gen|bias)", r"<i>τ</i><sub>\1</sub>", str(escape(text)))
    out = re.sub(r"\bf_mem\b", "<i>f</i><sub>mem</sub>", out)
    out = re.sub(r"\bp_train\b", "<i>p</i><sub>train</sub>", out)
    out = re.sub(r"\b([nW])\^(-?[\d.]*\d)", lambda m: f"<i>{m[1]}</i><sup>{m[2].replace('-', '−')}</sup>", out)
    return Markup(re.sub(r"(?<![\w.])-(?=\d)", "−", out).replace(" ~ ", " ∝ "))


def data_url(kind: str, content: bytes) -> str:
    """An image as the address of itself; `kind` is png or jpeg."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def photo(png: bytes, alt: str) -> Markup:
    """A figure that holds images as an element of the page."""
    return Markup('<img class="photo" alt="{}" src="{}">').format(alt, data_url("png", png))


def inline_svg(svg: str, name: str, alt: str) -> Markup:
    """SVG text of our own making as an element of the page: own ids, no prolog, no metadata, as wide as its place.

    Raises InputError where there is no <svg> in it.
    """
    start, stop = svg.find("<svg"), svg.rfind("</svg>")
    if start < 0 or stop < 0:
        raise InputError(f"figure {name!r} is text without an <svg> element: give SVG text.")
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
