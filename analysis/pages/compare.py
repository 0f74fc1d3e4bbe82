"""A comparison to files: tables, the sheet, a section for the report page, and that section as a page of its own.

    table.csv samples.parquet pairs.csv copied.csv denoising.csv ranks.csv correlations.csv sheet.png
    section.html    one <section>, escaped      compare.html    the section as a page
    compare.json    what was compared, the measures, and the test over all targets: written first without its result

The same comparison gives the same bytes, also after a killed one. Names from foreign files are escaped. The report page
takes no section as it stands in a file: `read_sections` makes them again from the tables.
"""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from diffmem import files
from diffmem.errors import InputError
from diffmem.files import read_bytes
from diffmem.records import Comparison, Measure
from diffmem.tree import Tree

from ..figures.compare import sheet
from ..figures.files import render
from .compare_section import section
from .compare_words import sentence
from .markup import style

TABLES = ("table", "pairs", "copied", "denoising", "ranks", "correlations")
WORDS = (
    "target",
    "kind",
    "training_images",
    "first",
    "second",
    "test",
    "measure",
    "training",
    "image",
)  # columns of text
PNG = b"\x89PNG\r\n\x1a\n"


def check_folder(folder: Path, inputs: Mapping[str, Any]) -> None:
    """Raise InputError where `folder` holds another comparison, or something else than one."""
    files.check_folder(folder, "--out")
    if not folder.exists():
        return
    known = _record(folder)
    if known is None and any(folder.iterdir()):
        raise InputError(f"--out={folder} exists and is no folder of a comparison: name another.")
    if known is not None and known.get("inputs") != json.loads(json.dumps(inputs)):
        raise InputError(f"--out={folder} holds another comparison: name another folder, or remove it.")


def read_sections(folder: Path) -> tuple[list[str], list[str]]:
    """The sections of the comparisons in `folder`, made again from their tables, and what is said of those left out."""
    sections, notes = [], []
    for place in sorted(path.parent for path in folder.glob("*/compare.json")):
        try:
            record = _record(place) or {}
            if "sentence" not in record:
                raise ValueError("it was not finished")
            picture = read_bytes(place / "sheet.png")
            if not picture.startswith(PNG):
                raise ValueError("sheet.png is no PNG")
            sections.append(section(_read(place, record), str(record["sentence"]), picture))
        except Exception as error:  # tables that somebody changed fail in any way
            why = str(error).partition("\n")[0] or type(error).__name__
            notes.append(f"{place}: the comparison is left out ({why}): run `diffmem compare` again.")
    return sections, notes


def _read(folder: Path, record: Mapping[str, Any]) -> Comparison:
    """What `write` wrote into `folder`, but for the samples."""
    tables: dict[str, Any] = {name: _table(read_bytes(folder / f"{name}.csv")) for name in TABLES}
    measures = {str(name): Measure(**measure) for name, measure in record["measures"].items()}
    notes = [str(note) for note in record["notes"]]
    overall = record["overall"]
    return Comparison(**tables, samples=pd.DataFrame(), overall=overall, sheets=(), notes=notes, measures=measures)


def _table(content: bytes) -> pd.DataFrame:
    """The table of a csv, every number with its bits."""
    if not content.strip():
        return pd.DataFrame()
    text = dict.fromkeys(WORDS, str)
    options: dict[str, Any] = {"dtype": text, "keep_default_na": False, "na_values": [""]}
    return pd.read_csv(io.BytesIO(content), **options)


def _record(folder: Path) -> dict[str, Any] | None:
    """compare.json, or None where there is none."""
    try:
        record = json.loads(read_bytes(folder / "compare.json"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InputError(f"{folder / 'compare.json'} is damaged ({error}): remove that folder.") from error
    if not isinstance(record, dict):
        raise InputError(f"{folder / 'compare.json'} is no record of a comparison: remove that folder.")
    return record


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
    record: dict[str, Any] = {"inputs": dict(inputs)}
    begun = json.dumps(record).encode()
    record |= {
        "sentence": said,
        "overall": dict(result.overall),
        "notes": [*result.notes],
        "measures": {name: asdict(measure) for name, measure in result.measures.items()},
    }
    contents["compare.json"] = json.dumps(record, indent=1).encode() + b"\n"
    tree = Tree(folder)
    tree.write(folder / "compare.json", begun)
    for name, content in contents.items():
        tree.write(folder / name, content, durable=False)
    for name in tree.names(folder):
        if re.fullmatch(r"\.(.+)\.\d+", name) and name[1:].rpartition(".")[0] in contents:
            tree.remove(folder / name)  # of a killed process
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
