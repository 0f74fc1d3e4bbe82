"""A comparison as one section of a page: who copies more, whether that is real, what is copied, the other measures."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from diffmem.records import Comparison

from ..figures.compare import shares
from ..figures.files import render
from .compare_words import p_words
from .markup import fill, inline_svg, photo

PAIRS = 10  # pairs on the page


def section(result: Comparison, sentence: str, sheet: bytes) -> str:
    """The section in HTML; `sentence` is the result in words, `sheet` the PNG of samples."""
    table, pairs = result.table, result.pairs
    identity = re.sub(r"\W", "-", "-".join(map(str, table["training_images"].unique())))
    drawn = render(shares(table), "svg").decode()
    return fill(
        "compare.html",
        id=identity,
        title="Which checkpoint memorizes more?" if len(table) > 1 else "Does this checkpoint memorize?",
        sentence=sentence,
        shares=inline_svg(drawn, f"shares-{identity}", f"Memorized share of each target. {sentence}"),
        sheet=photo(sheet, "Generated samples above their two nearest training images"),
        notes=result.notes,
        pairs=[_pair_words(row) for row in _largest(pairs).to_dict("records")],
        more_pairs=max(0, len(pairs) - PAIRS),
        copies=[_copy_words(row, result.copied) for row in table.to_dict("records")],
        targets=list(table["target"]),
        panel=_panel_rows(result),
        correlations=_correlation_rows(result.correlations),
    )


def _largest(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs with the largest differences."""
    if pairs.empty:
        return pairs
    return pairs.reindex(pairs["difference"].abs().sort_values(ascending=False, kind="stable").index)[:PAIRS]


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
