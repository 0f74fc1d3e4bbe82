"""Tables of a family in a csv: one cell, one column, or the file itself is not what it should be."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from tests.helpers.fuzz.judge import Case

STEPS = [0, 50, 100, 200, 400, 800, 1600, 3200]
CELLS = [
    "",
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "0.5",
    "1.9",
    "10.5",
    "1e19",
    "1e308",
    "9" * 400,
    "x",
    "$x$",
    "é",
    "true",
    "1,2",
    '"',
]
COLUMNS = [
    "run",
    "n",
    "width",
    "seed",
    "index",
    "step",
    "f_mem",
    "f_mem_count",
    "f_mem_total",
    "f_mem_null",
    "fd_pca64",
]
NAMES = [
    "fd_$x$",
    "f_mem",
    "mmd_<b>",
    "",
    "n",
    "loss_test_t",
    "loss_test_tx",
    "p_train",
    "fd_a@real",
    "x" * 2000,
    "é",
    "R2_t300",
]


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "empty": lambda content: b"",
    "header": lambda content: content.split(b"\n")[0],
    "cut": lambda content: content[: len(content) // 2 + 3],
    "nul": lambda content: content.replace(b"1", b"\0"),
    "latin": lambda content: content + b"\xe9\xff",
    "bom": lambda content: b"\xef\xbb\xbf" + content,
    "longer rows": lambda content: b"\n".join(line + b",1" for line in content.split(b"\n")),
    "semicolons": lambda content: content.replace(b",", b";"),
    "zip": lambda content: b"PK\x03\x04" + content,
    "quote": lambda content: content.replace(b"n16", b'"n16', 1),
    "crlf": lambda content: content.replace(b"\n", b"\r\n"),
}


def table() -> pd.DataFrame:
    """Three runs whose f_mem rises and whose quality falls."""
    rows = []
    for n in (16, 32, 64):
        for step in STEPS:
            share = 1 / (1 + 19 * np.exp(-3 * np.log(max(step, 1e-9) / (30 * n))))
            count = round(200 * share)
            rows.append(
                {"run": f"n{n}", "n": n, "width": 8, "seed": 0, "index": 0, "step": step, "f_mem": count / 200,
                 "f_mem_count": count, "f_mem_total": 200, "f_mem_null": 0.0, "fd_pca64": 1 + 9 / (1 + step / 60)}
            )  # fmt: skip
    return pd.DataFrame(rows)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    what = draw(st.sampled_from(["cell", "cell", "cell", "column", "file"]))
    verb = draw(st.sampled_from(["fit", "fit", "fit", "figures", "report"]))
    text, names, label = table(), ["m.csv"], what
    if what == "cell":
        column, row, value = (
            draw(st.sampled_from(COLUMNS)),
            draw(st.integers(0, len(text) - 1)),
            draw(st.sampled_from(CELLS)),
        )
        text = text.astype({column: object})
        rows: Any = slice(None) if draw(st.integers(0, 5)) == 0 else row
        text.loc[rows, column] = value
        label, names = f"{column}[{rows if rows == row else 'all'}]={value[:20]}", [*names, column]
    elif what == "column":
        column, name = draw(st.sampled_from(COLUMNS)), draw(st.sampled_from(NAMES))
        text = (
            text.rename(columns={column: name})
            if draw(st.booleans())
            else text.assign(**{name: draw(st.sampled_from([0.5, -1]))})
        )
        label, names = f"{column} -> {name[:20]}", [*names, column, name[:30] or "column"]
    content = text.to_csv(index=False).encode()
    if what == "file":
        label = draw(st.sampled_from(sorted(BROKEN)))
        content = BROKEN[label](content)
    words = [verb, "m.csv", "--out", "out"]
    if draw(st.integers(0, 3)) == 0:
        flag = draw(st.sampled_from(["--level", "--samples", "--loss-t", "--mem", "--quality", "--group"]))
        value = draw(st.sampled_from(["-1", "0", "nan", "1e309", "x", "fd_pca64", "1e12", ""]))
        words, names, label = (
            [*words, flag, value],
            [*names, flag, flag[2:].replace("-", "_")],
            f"{label} {flag} {value}",
        )
    return Case("tables", f"{verb} {label}", tuple(words), tuple(names), _writer(content))


def _writer(content: bytes) -> Any:
    def write(folder: Path) -> None:
        (folder / "m.csv").write_bytes(content)

    return write
