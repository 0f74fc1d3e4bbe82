"""A figure as files: the picture as PNG and SVG beside the table behind it. The same figure gives the same bytes."""

import io
from pathlib import Path
from typing import NamedTuple

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from diffmem.tree import Tree

from .drawing import STYLE

FORMS = ("png", "svg", "csv")


class Picture(NamedTuple):
    """A figure and the table it draws."""

    figure: Figure
    data: pd.DataFrame

    def _repr_png_(self) -> bytes:
        return render(self.figure, "png")


def save(
    figure: Figure, data: pd.DataFrame, folder: str | Path, name: str, root: Path | None = None
) -> tuple[Path, Path, Path]:
    """Write `name`.png, `name`.svg and `name`.csv, the table behind it, into `folder`; returns the three paths.

    No link below `root` (by default the folder itself) is followed.
    """
    folder = Path(folder)
    tree = Tree(root or folder)
    table = data.to_csv(index=False, lineterminator="\n").encode()
    contents = (render(figure, "png"), render(figure, "svg"), table)
    for suffix, content in zip(FORMS, contents, strict=True):
        tree.write(folder / f"{name}.{suffix}", content, durable=False)
    png, svg, csv = (folder / f"{name}.{suffix}" for suffix in FORMS)
    return png, svg, csv


def render(figure: Figure, form: str) -> bytes:
    """The figure as `png` or `svg`: the same figure gives the same bytes (no date, no version, salted ids)."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(fname=STYLE):
        figure.savefig(buffer, format=form, metadata={"Date": None} if form == "svg" else {"Software": None})
    return buffer.getvalue()
