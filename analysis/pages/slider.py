"""What the page's slider moves: the same samples of every run through its training, beside their nearest images.

S checkpoints of a run, m samples, P places of the slider (every step at which some run has a checkpoint). All images
of a run are one strip, a row a checkpoint, the samples left and the nearest training images right, so a run is moved
by one number. Every word and number that the slider shows is made here; slider.js only puts them in place.
"""

import base64
import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from diffmem.records import Film

from ..figures.curves import curves
from ..times.family import quality_read
from .markup import FOLDER, data_url

SCRIPT = FOLDER / "slider.js"
STRIPS_BYTES = 9_000_000  # of all strips together; base64 adds a third
LARGEST = 64  # pixels of an image's side in a strip
SHOWN = 48  # its side on the page, about


def slider(films: Sequence[Film], rows: pd.DataFrame, times: pd.DataFrame) -> dict[str, Any]:
    """The films for the page: `films` with strips and labels, `start` the place shown first, `data` for slider.js.

    `rows` is the family's table and `times` one row a run, as for the figures.
    """
    table = curves(rows, quality_read(times))
    labels = {"step": "step", "step_per_n": "step/n"}
    if "f_mem" in table:
        labels["f_mem"] = "f_mem"
    if "quality" in table:
        labels["quality"] = str(table["quality_name"].iloc[0])
    known = {row["run"]: row for row in times.to_dict("records")}
    steps = sorted({int(step) for film in films for step in film.steps})
    moving: list[dict[str, Any]] = [
        {"rows": nearest_rows(film.steps, steps), "frames": _frames(film, table, list(labels), known.get(film.run, {}))}
        for film in films
    ]
    seen = [[film["frames"][film["rows"][place]] for film in moving] for place in range(len(steps))]
    spread = np.array([np.var([frame["share"] for frame in frames]) for frames in seen])  # [P]
    script = SCRIPT.read_text(encoding="utf-8")
    return {
        "films": [_shown(film, STRIPS_BYTES // len(films)) for film in films],
        "labels": list(labels.values()),
        "start": len(steps) - 1 - int(np.argmax(spread[::-1])),  # where the runs differ most, the later one of equals
        "data": {
            "places": [_place(step, [f["phase"] for f in frames]) for step, frames in zip(steps, seen, strict=True)],
            "films": moving,
        },
        "script": Markup(script),
        "digest": f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
    }


def nearest_rows(own: NDArray[np.int64], steps: Sequence[int]) -> list[int]:
    """For each of `steps` the row of a run's `own` steps that is nearest in log(1 + step)."""
    return [int(np.abs(np.log1p(own) - math.log1p(step)).argmin()) for step in steps]


def phase(step: int, times: Mapping[Any, Any]) -> str:
    """Where `step` lies among a run's times: too early, good, leaning, copying; empty where they are not known."""
    gen, bias, mem = (_time(times, name) for name in ("tau_gen", "tau_bias", "tau_mem"))
    if step >= mem:
        return "copying"
    if step >= bias:
        return "leaning"
    if math.isnan(gen) or math.isnan(mem):
        return ""
    return "good" if step >= gen else "too early"


def _time(times: Mapping[Any, Any], name: str) -> float:
    """The time, or the end that a censored one lies at; NaN where it is not known."""
    ends = {"reached": times.get(name, math.nan), "right": math.inf, "left": -math.inf}
    return float(ends.get(str(times.get(f"{name}_status")), math.nan))


def _frames(film: Film, table: pd.DataFrame, names: Sequence[str], times: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """What the page says of a run at each of its checkpoints."""
    measured = table[table["run"] == film.run].set_index("step").reindex(film.steps)
    given = measured.assign(step=film.steps, step_per_n=film.steps / film.n)
    frames = []
    for place, row in enumerate(given.to_dict("records")):
        values = [_number(name, row[name]) for name in names]
        if place == len(film.steps) - 1:
            values[0] += " (last)"
        share = row.get("f_mem", math.nan)
        frames.append(
            {
                "values": values,
                "share": 0 if math.isnan(share) else share,
                "phase": phase(int(film.steps[place]), times),
                "ratios": [f"{ratio:.2f}" for ratio in film.ratio[place]],
                "copies": (film.ratio[place] < film.k).tolist(),
            }
        )
    return frames


def _number(name: str, value: float) -> str:
    if math.isnan(value):
        return "–"
    if name == "f_mem":
        return f"{value:.3f}"
    return f"{value:,.0f}" if name == "step" or value >= 100 else f"{value:.3g}"


def _place(step: int, phases: Sequence[str]) -> str:
    """The slider's label: the step, and how many runs have come to copying by then."""
    if not any(phases):
        return f"step {step:,}"
    return f"step {step:,}: {phases.count('copying')} of {len(phases)} runs copying"


def _shown(film: Film, limit: int) -> dict[str, Any]:
    """A film's element on the page."""
    steps, m, _, height, width = film.samples.shape
    scale = max(1, round(SHOWN / max(height, width)))
    side = min(1, LARGEST / max(height, width)) * scale
    return {
        "run": film.run,
        "n": f"{film.n:,}",
        "checkpoints": steps,
        "count": m,
        "width": round(width * side),
        "height": round(height * side),
        "strip": _strip(film, limit),
    }


def _strip(film: Film, limit: int) -> str:
    """All images of a film in one picture, as a data URL: PNG, or JPEG where that is more than `limit` bytes."""
    cells = np.concatenate([film.samples, film.nearest], axis=1)  # [S, 2m, C, H, W]
    factor = math.ceil(max(cells.shape[3:]) / LARGEST)
    cells = cells[..., : cells.shape[3] // factor * factor, : cells.shape[4] // factor * factor]
    rows, columns, channels, height, width = cells.shape
    pixels = cells.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels).reduce(factor)
    content = _encoded(picture, "PNG")
    if len(content) <= limit:
        return data_url("png", content)
    for quality in (90, 75, 50, 25):
        content = _encoded(picture, "JPEG", quality=quality, subsampling=0)
        if len(content) <= limit:
            break
    return data_url("jpeg", content)


def _encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=form, **options)
    return buffer.getvalue()
