"""A comparison to files: tables, the sheet, a section for the report page, and that section as a page of its own.

    table.csv samples.parquet pairs.csv copied.csv denoising.csv ranks.csv correlations.csv sheet.png
    section.html    one <section> for the report page, escaped      compare.html    the section as a page
    compare.json    what was compared and the test over all targets; written last

The same comparison gives the same bytes. Names from foreign files are escaped.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from diffmem import files
from diffmem.errors import InputError
from diffmem.files import write_bytes
from diffmem.records import Comparison

from ..figures.compare import sheet
from ..figures.files import render
from .compare_section import section
from .compare_words import sentence
from .markup import style

TABLES = ("table", "pairs", "copied", "denoising", "ranks", "correlations")


def check_folder(folder: Path, inputs: Mapping[str, Any]) -> None:
    """Raise InputError where `folder` holds another comparison, or something else than one."""
    files.check_folder(folder, "--out")
    known = folder / "compare.json"
    if folder.exists() and any(folder.iterdir()) and not known.is_file():
        raise InputError(f"--out={folder} exists and is no folder of a comparison: name another.")
    if known.is_file() and json.loads(known.read_text())["inputs"] != json.loads(json.dumps(inputs)):
        raise InputError(f"--out={folder} holds another comparison: name another folder, or remove it.")


def write(folder: Path, result: Comparison, inputs: Mapping[str, Any]) -> str:
    """Write all files into `folder`; returns the result in one sentence. `inputs` is what decided the result."""
    contents = {
        f"{name}.csv": getattr(result, name).to_csv(index=False, lineterminator="\n").encode() for name in TABLES
    }
    buffer = io.BytesIO()
    result.samples.to_parquet(buffer, index=False, engine="pyarrow")
    contents["samples.parquet"] = buffer.getvalue()
    picture = render(sheet(result.sheets), "png")
    said = sentence(result)
    html = section(result, said, picture)
    contents |= {"sheet.png": picture, "section.html": html.encode(), "compare.html": _page(said, html).encode()}
    record = {
        "inputs": dict(inputs),
        "sentence": said,
        "overall": dict(result.overall),
        "notes": [*result.notes],
    }
    contents["compare.json"] = json.dumps(record, indent=1).encode() + b"\n"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_bytes(folder / name, content, durable=False)
    return said


def _page(said: str, section: str) -> str:
    """The section with the report's style around it."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return Markup(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta http-equiv="Content-Security-Policy" content="{}">\n<title>{}</title>\n{}\n</head>\n'
        "<body>\n<header><h1>Comparison</h1></header>\n<main>\n{}</main>\n</body>\n</html>\n"
    ).format(policy, said, style(), Markup(section))
