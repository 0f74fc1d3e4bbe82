"""The study's own code, from a checkout of it: what a benchmark sets ours beside."""

import argparse
import importlib
import sys
import types
from pathlib import Path
from typing import Any

from benchmarks.turns import Missing

WHERE = "github.com/tbonnair/Why-Diffusion-Models-Don-t-Memorize"
SOURCE = "Experiments/src"
UNSEEN = ("Plot", "loader")  # draw pictures and read data sets, which need packages that no benchmark does


def is_study(folder: Path | None) -> bool:
    return folder is not None and (folder / SOURCE / "Utils" / "Unet.py").is_file()


def folder(text: str) -> Path:
    """A command line's checkout."""
    if not is_study(Path(text)):
        raise argparse.ArgumentTypeError(f"{text} holds no {SOURCE}/Utils/Unet.py: name a checkout of {WHERE}")
    return Path(text)


def modules(checkout: Path, *names: str) -> list[Any]:
    """Modules of `Utils` or `Evaluation` by their names."""
    for name in UNSEEN:
        sys.modules.setdefault(name, types.ModuleType(name))
    for room in ("Utils", "Evaluation"):
        place = str(checkout / SOURCE / room)
        if place not in sys.path:
            sys.path.insert(0, place)
    return [importlib.import_module(name) for name in names]


def without(case: str, command: str) -> Missing:
    """What cannot be measured without the study's code."""
    return Missing(
        case, "the study's code is not here", f"With a checkout of {WHERE} in DIR: {command} --reference DIR"
    )
