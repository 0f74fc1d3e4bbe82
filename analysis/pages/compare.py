"""A comparison to files: tables, the sheet, a section for the report page, and that section as a page of its own.

    table.csv samples.parquet pairs.csv copied.csv denoising.csv ranks.csv correlations.csv sheet.png
    section.html    one <section> for the report page, escaped      compare.html    the section as a page
    compare.json    what was compared and the test over all targets; written last

The same comparison gives the same bytes. Names from foreign files are escaped.
"""

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from diffmem import files
from diffmem.errors import InputError
from diffmem.files import write_bytes
from diffmem.records import Comparison

from ..figures.compare import shares, sheet
from ..figures.registry import render
from . import report

TEMPLATE = Path(__file__).with_name("html") / "compare.html"
TABLES = ("table", "pairs", "copied", "denoising", "ranks", "correlations")
BOOKENDS = ("empirical", "population")  # exact targets: no checkpoint to say something of
PAIRS = 10  # pairs on the page


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
    section = _section(result, said, picture)
    contents |= {"sheet.png": picture, "section.html": section.encode(), "compare.html": _page(said, section).encode()}
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


def sentence(result: Comparison) -> str:
    """Which target memorizes most, and whether that is real."""
    table, pairs = result.table, result.pairs
    trained = table[~table["kind"].isin(BOOKENDS)]
    shown = trained if len(table) > 2 and len(trained) > 1 else table
    ordered = shown.sort_values("f_mem", ascending=False, kind="stable").to_dict("records")
    first = ordered[0]
    value = f"{first['f_mem']:.3f} [{first['f_mem_low']:.3f}, {first['f_mem_high']:.3f}]"
    if len(table) == 1:
        return f"{first['target']}: f_mem = {value}, null {first['f_mem_null']:.3f}."
    if len(table) > 2:
        others = f"{ordered[-1]['f_mem']:.3f} to {ordered[1]['f_mem']:.3f}"
        test = result.overall
        tail = f"; over all {test['targets']} paired targets {p_words(test['p'])} ({test['test']})" if test else ""
        return f"{first['target']} memorizes most: f_mem = {value}, the others {others}{tail}."
    pair = pairs.iloc[0]
    sign = 1 if pair["first"] == first["target"] else -1
    ends = sorted((sign * pair["difference_low"], sign * pair["difference_high"]))
    real = pair["p"] < 0.05
    verb = "memorizes more than" if real else "and"
    tail = "" if real else " do not differ beyond chance"
    return (
        f"{first['target']} {verb} {ordered[1]['target']}{tail}: f_mem = {first['f_mem']:.3f} and "
        f"{ordered[1]['f_mem']:.3f}, difference {sign * pair['difference']:.3f} [{ends[0]:.3f}, {ends[1]:.3f}], "
        f"{p_words(pair['p'])} ({pair['test']})."
    )


def p_words(p: float) -> str:
    """`p = 0.013`, `p < 0.0001`."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def _section(result: Comparison, said: str, picture: bytes) -> str:
    table, pairs = result.table, result.pairs
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["symbols"] = report.symbols
    identity = re.sub(r"\W", "-", "-".join(map(str, table["training_images"].unique())))
    drawn = render(shares(table), "svg").decode()
    rows = (
        pairs.reindex(pairs["difference"].abs().sort_values(ascending=False, kind="stable").index)[:PAIRS]
        if len(pairs)
        else pairs
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        id=identity,
        title="Which checkpoint memorizes more?" if len(table) > 1 else "Does this checkpoint memorize?",
        sentence=said,
        shares=report._inline(drawn, f"shares-{identity}", f"Memorized share of each target. {said}"),
        sheet=Markup('<img class="photo" alt="{}" src="{}">').format(
            "Generated samples above their two nearest training images", report._data_url(picture)
        ),
        notes=result.notes,
        pairs=[_pair_words(row) for row in rows.to_dict("records")],
        more_pairs=max(0, len(pairs) - PAIRS),
        copies=[_copy_words(row, result.copied) for row in table.to_dict("records")],
        targets=list(table["target"]),
        panel=_panel_rows(result),
        correlations=_correlation_rows(result.correlations),
    )


def _page(said: str, section: str) -> str:
    """The section with the report's style around it."""
    style = re.search(r"<style>.*?</style>", report.TEMPLATE.read_text(encoding="utf-8"), re.DOTALL)
    assert style is not None
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return Markup(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta http-equiv="Content-Security-Policy" content="{}">\n<title>{}</title>\n{}\n</head>\n'
        "<body>\n<header><h1>Comparison</h1></header>\n<main>\n{}</main>\n</body>\n</html>\n"
    ).format(policy, said, Markup(style[0]), Markup(section))


def _pair_words(row: Mapping[Any, Any]) -> dict[str, str]:
    cosine = row["consistency_cosine"]
    return {
        "first": row["first"],
        "second": row["second"],
        "difference": f"{row['difference']:.3f} [{row['difference_low']:.3f}, {row['difference_high']:.3f}]",
        "p": p_words(row["p_holm"]).removeprefix("p = ").removeprefix("p "),
        "test": row["test"],
        "overlap": f"{row['copied_by_both']} of {row['common_images']} common images" if row["common_images"] else "–",
        "consistency": "–" if pd.isna(cosine) else f"{cosine:.2f}" + ("" if row["disjoint"] else " (common images)"),
    }


def _copy_words(row: Mapping[Any, Any], copied: pd.DataFrame) -> dict[str, str]:
    most = copied[copied["target"] == row["target"]][:5]
    return {
        "target": row["target"],
        "n": f"{row['n']:,}",
        "count": f"{row['f_mem_count']} of {row['f_mem_total']}",
        "f_mem": f"{row['f_mem']:.3f} [{row['f_mem_low']:.3f}, {row['f_mem_high']:.3f}]",
        "null": f"{row['f_mem_null']:.3f} [{row['f_mem_null_low']:.3f}, {row['f_mem_null_high']:.3f}]",
        "images": str(row["copied_images"]),
        "coverage": f"{row['coverage']:.1%}",
        "most": ", ".join(f"{one['index']} × {one['samples']}" for one in most.to_dict("records")) or "none",
    }


def _panel_rows(result: Comparison) -> list[dict[str, Any]]:
    table = result.table
    ranks = result.ranks.set_index("measure")
    rows = []
    for name, measure in result.measures.items():
        if name not in ranks.index:
            continue
        cells = []
        for row in table.to_dict("records"):
            value, null, rank = row[name], row[f"{name}_null"], float(ranks[row["target"]][name])
            if pd.isna(value):
                cells.append("–")
            else:
                cells.append(f"{value:.3g}" + ("" if pd.isna(null) else f" ({null:.3g})") + f" #{rank:g}")
        rows.append(
            {
                "name": name,
                "words": measure.words,
                "direction": "higher" if measure.direction > 0 else "lower",
                "source": measure.source,
                "cells": cells,
            }
        )
    return rows


def _correlation_rows(correlations: pd.DataFrame) -> list[dict[str, str]]:
    """Those with f_mem, by training."""
    shown = correlations[correlations["first"] == "f_mem"]
    return [
        {
            "training": Path(row["training"]).name,
            "checkpoints": str(row["checkpoints"]),
            "measure": row["second"],
            "spearman": f"{row['spearman']:.2f}",
        }
        for row in shown.to_dict("records")
    ]
