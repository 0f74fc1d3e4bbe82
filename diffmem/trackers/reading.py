"""What is sent, read from the directories of runs and nowhere else: rows, sample sheets, figures.

A run's key is its id with that of the evaluation behind its rows. Rows under one key and step are equal, so they are
sent once. The figures of a folder are one point for each number of rows that they were drawn from.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from diffmem import stored
from diffmem.config import identity
from diffmem.config.settings import Config
from diffmem.files import read_bytes
from diffmem.pictures import Pictures
from diffmem.records import SampleSheet
from diffmem.store import RunDir
from diffmem.trackers.base import Image, Point, Subject

MARKER = "step_per_n"  # training time per image
PIXELS = 64  # least width of a shown image
RED = (213, 94, 0)  # the frame of a memorized sample


def run_subject(run: RunDir) -> Subject:
    """The run as a subject. Raises InputError where it cannot be read."""
    settings, meta = run.read_config(), run.read_meta()
    config = Config.from_stored(settings)
    evaluation = identity.evaluation(config.to_mapping(), meta.get("measures", 1))
    return Subject(
        key=f"{run.name}-{identity.short_hash(evaluation)}",
        name=run.name,
        folder=run.path.parent,
        settings={**config.trajectory(), **evaluation},
    )


def run_points(run: RunDir, pictures: Pictures) -> list[Point]:
    """A point for each whole row, steps ascending. Raises InputError where a row cannot be read."""
    try:
        rows, _ = stored.rows(run.primary.metrics_path)
    except FileNotFoundError:
        return []
    n = Config.from_stored(run.read_config()).data.n
    return [_row_point(run, row, n, pictures) for row in sorted(rows, key=lambda row: row["step"])]


def folder_subject(folder: Path) -> Subject:
    """The figures of a folder of runs as a subject."""
    place = folder.resolve()
    key = f"{place.name}-{identity.short_hash(str(place))}"
    return Subject(key=key, name=f"figures of {place.name}", folder=folder, settings={})


def folder_points(folder: Path) -> list[Point]:
    """One point where `diffmem report` has drawn figures: its step is the number of rows in metrics.csv beside them."""
    figures, table = sorted((folder / "figures").glob("*.png")), folder / "metrics.csv"
    if not figures or not table.is_file():
        return []
    rows = read_bytes(table).count(b"\n") - 1
    return [Point(rows, {"rows": float(rows)}, lambda: {path.stem: _read_image(path) for path in figures})]


def _row_point(run: RunDir, row: Mapping[str, Any], n: int, pictures: Pictures) -> Point:
    step = row["step"]
    values = {name.replace("@", "/"): float(value) for name, value in row.items() if value is not None}
    del values["step"]
    values[MARKER] = step / n

    def images() -> dict[str, Image]:
        sheet = pictures.sheet(run.path, step)
        return {} if sheet is None else {"samples": montage(sheet)}

    return Point(step, values, images)


def montage(sheet: SampleSheet) -> Image:
    """Generated samples above their nearest training images, with a frame around copies."""
    scale = -(-PIXELS // sheet.samples.shape[-1])
    gap = max(2, PIXELS // 16)
    columns = []
    for sample, nearest, memorized in zip(sheet.samples, sheet.nearest, sheet.memorized, strict=True):
        above, below = _framed(sample, scale, gap, RED if memorized else None), _framed(nearest, scale, gap, None)
        columns.append(np.concatenate([above, below]))
    return np.concatenate(columns, axis=1)


def _framed(image: np.ndarray, scale: int, gap: int, color: tuple[int, int, int] | None) -> Image:
    """`image` [C, H, W] in [0, 1], enlarged, with a border of `gap` pixels."""
    pixels = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8).transpose(1, 2, 0)
    large = np.broadcast_to(pixels.repeat(scale, 0).repeat(scale, 1), (*(scale * np.array(pixels.shape[:2])), 3))
    canvas = np.full((large.shape[0] + 2 * gap, large.shape[1] + 2 * gap, 3), color or 255, dtype=np.uint8)
    canvas[gap:-gap, gap:-gap] = large
    return canvas


def _read_image(path: Path) -> Image:
    with Pillow.open(path) as image:
        return np.asarray(image.convert("RGB"))
