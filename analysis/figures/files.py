"""A figure as files: the picture as PNG and SVG beside the table behind it. The same figure gives the same bytes."""

import io
from pathlib import Path
from typing import NamedTuple

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from diffmem.files import write_bytes

from .drawing import STYLE


class Picture(NamedTuple):
    """A figure and the table it draws."""

    figure: Figure
    data: pd.DataFrame


def save(figure: Figure, data: pd.DataFrame, folder: str | Path, name: str) -> tuple[Path, Path, Path]:
    """Write `name`.png, `name`.svg and `name`.csv, the table behind it, into `folder`; returns the three paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table = data.to_csv(index=False, lineterminator="\n").encode()
    contents = {"png": render(figure, "png"), "svg": render(figure, "svg"), "csv": table}
    for suffix, content in contents.items():
        write_bytes(folder / f"{name}.{suffix}", content, durable=False)
    png, svg, csv = (folder / f"{name}.{suffix}" for suffix in contents)
    return png, svg, csv


def render(figure: Figure, form: str) -> bytes:
    """The figure as `png` or `svg`: the same figure gives the same bytes (no date, no version, salted ids)."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(fname=STYLE):
        figure.savefig(buffer, format=form, metadata={"Date": None} if form == "svg" else {"Software": None})
    return buffer.getvalue()
