"""The rows of runs under the weights of each width of average: one family for each, from the runs' evaluations.

The raw weights are an average of width 0. An evaluation that differs from the run's own in more than its weights is
left out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffmem.errors import InputError
from diffmem.store import EvalDir, RunDir, find_runs

from .family import Family, as_family, read_run

WEIGHTS = ("weights", "ema_sigma")


def by_width(folder: Path) -> dict[float, Family]:
    """Width of the average over training time -> the family of `folder` under it, ascending.

    Samples are not paired: the rows alone are read. Raises InputError where there are none.
    """
    found: dict[float, list[tuple[RunDir, EvalDir]]] = {}
    for run in find_runs(folder):
        own = run.read_config()
        given = [(run.primary, own), *((other, other.read_settings()) for other in run.evaluations())]
        for evaluation, settings in given:
            width = _width(settings["eval"])
            if width is not None and _rest(settings) == _rest(own):
                found.setdefault(width, []).append((run, evaluation))
    families = {}
    for width, places in sorted(found.items()):
        notes: list[str] = []
        parts = [read_run(run, notes, evaluation) for run, evaluation in places]
        runs = [{**entry, "path": None} for entry, frame in parts if not frame.empty]
        frames = [frame for _, frame in parts if not frame.empty]
        if frames:
            families[width] = as_family(runs, frames, folder, notes, {}, None)
    if not families:
        raise InputError(f"{folder} holds no rows of raw weights or of eval.weights=posthoc: `diffmem evaluate` them.")
    return families


def _width(settings: Mapping[str, Any]) -> float | None:
    """0 of raw weights; None of an average whose width is not one of `eval.ema_sigma`."""
    sigma = 0.0 if settings["weights"] == "raw" else settings.get("ema_sigma")
    return None if sigma is None else float(sigma)


def _rest(settings: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """What else decides an evaluation."""
    free = (*WEIGHTS, "tile", "keep_samples", "background")
    return {name: value for name, value in settings["eval"].items() if name not in free}, settings["sampler"]
