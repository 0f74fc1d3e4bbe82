"""The verb `diffmem compare`: words -> targets -> tables, handed to a writer.

A target is PATH[@WHICH]: a run directory, a folder of the reference code, a folder of diffusers, or samples; or one of
the words empirical and population. WHICH is a step, last (the default), best or all.
"""

import argparse
import hashlib
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from diffmem.compare.comparison import Comparison, check, compare
from diffmem.compare.targets.base import Target
from diffmem.compare.targets.files import is_images
from diffmem.compare.targets.run import BOOKENDS, bookend, run_targets
from diffmem.compare.targets.study import (
    Given,
    diffusers_target,
    is_diffusers,
    is_reference,
    reference_targets,
    samples_target,
)
from diffmem.errors import InputError
from diffmem.metrics.panel import MEASURES
from diffmem.store import RunDir
from diffmem.training.machine import resolve_device

SELECTOR = re.compile(r"(.+)@(\d+|last|best|all)", re.DOTALL)


def open_targets(words: list[str], given: Given) -> list[Target]:
    """The targets that `words` name, in their order. Raises InputError; draws nothing."""
    targets: list[Target] = []
    for word in words:
        if word in BOOKENDS:
            runs = [target for target in targets if target.kind == "run"]
            if not runs:
                raise InputError(f"{word} takes its images and sampler from a run: name a run before it.")
            targets.append(bookend(word, runs[0]))
        else:
            targets += _open(word, given)
    return _told_apart(targets)


def _told_apart(targets: list[Target]) -> list[Target]:
    """Targets of one name from different folders are called by their whole paths."""
    groups = {target.label: {other.group for other in targets if other.label == target.label} for target in targets}
    return [
        replace(target, label=target.label.replace(Path(target.group).name, target.group, 1))
        if len(groups[target.label]) > 1
        else target
        for target in targets
    ]


def _open(word: str, given: Given) -> list[Target]:
    found = SELECTOR.fullmatch(word)
    path, which = (Path(found[1]), found[2]) if found and not Path(word).exists() else (Path(word), "last")
    if not path.exists():
        raise InputError(f"{word}: there is no {path}. A target is PATH, PATH@STEP, PATH@last, PATH@best or PATH@all.")
    if RunDir(path).config_path.is_file():
        return run_targets(path, which)
    if is_reference(path):
        return reference_targets(path, which, given)
    if found and path != Path(word):
        raise InputError(f"{word}: only a run and a folder of the reference code have steps; leave out @{which}.")
    if is_diffusers(path):
        return [diffusers_target(path, given)]
    if is_images(path):
        return [samples_target(path, given)]
    raise InputError(
        f"{path} is no known target. Looked for: config.yaml (a run), Models/Model_<step> (the reference code), "
        "model_index.json or config.json with UNet2DModel (diffusers), image files, or a tensor "
        "(.pt, .npy, .safetensors) of samples."
    )


def inputs(targets: list[Target], samples: int, k: float) -> dict[str, Any]:
    """What decides the result: the same inputs, the same bytes."""
    return {
        "targets": [target.label for target in targets],
        "kinds": [target.kind for target in targets],
        "groups": [str(target.group) for target in targets],
        "training_images": [target.images.identity for target in targets],
        "samplers": [target.how for target in targets],
        "content": [target.content for target in targets],
        "samples": samples,
        "k": k,
    }


def default_folder(targets: list[Target], chosen: dict[str, Any]) -> Path:
    """compare/<hash of the inputs>, beside the first target where that is a run."""
    name = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:8]
    runs = [Path(target.group).parent for target in targets if target.kind == "run"]
    return (runs[0] if runs else Path()) / "compare" / name


def prepare(arguments: argparse.Namespace) -> tuple[list[Target], dict[str, Any], Path]:
    """Targets, inputs and the folder to write; everything that can be checked has been."""
    resolve_device(arguments.device)
    given = Given(
        Path(arguments.train) if arguments.train else None, Path(arguments.heldout) if arguments.heldout else None
    )
    targets = open_targets(arguments.targets, given)
    check(targets, arguments.samples)
    if not 0 < arguments.k <= 1:
        raise InputError(f"--k={arguments.k} is out of range: a sample is memorized when d1/d2 < k, with 0 < k <= 1.")
    chosen = inputs(targets, arguments.samples, arguments.k)
    folder = Path(arguments.out) if arguments.out else default_folder(targets, chosen)
    return targets, chosen, folder


def measure(targets: list[Target], arguments: argparse.Namespace) -> dict[str, Any]:
    """The comparison as the fields that a writer takes: tables, samples, sheets, overall, notes, measures."""

    def progress(label: str) -> None:
        print(f"drawing {arguments.samples} samples of {label}", file=sys.stderr)

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32
    found: Comparison = compare(
        targets, samples=arguments.samples, k=arguments.k, device=resolve_device(arguments.device), progress=progress
    )
    names = ("table", "pairs", "copied", "denoising", "ranks", "correlations")
    return {
        "tables": {name: getattr(found, name) for name in names},
        "samples": found.samples,
        "sheets": found.sheets,
        "overall": found.overall,
        "notes": found.notes,
        "measures": {name: (one.words, one.direction, one.source) for name, one in MEASURES.items()},
    }
