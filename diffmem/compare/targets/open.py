"""Words to targets: what stands at a path is found out by looking.

A word is PATH[@WHICH]: a run directory, a folder of the reference code, a folder of diffusers, or samples; or one of
the words empirical and population. WHICH is a step, last (the default), best or all.
"""

import re
from dataclasses import replace
from pathlib import Path

from diffmem.compare.targets.base import Target
from diffmem.compare.targets.bookends import BOOKENDS, bookend
from diffmem.compare.targets.diffusers import diffusers_target, is_diffusers
from diffmem.compare.targets.read_images import ImagePaths, is_images
from diffmem.compare.targets.run import run_targets
from diffmem.compare.targets.samples import samples_target
from diffmem.compare.targets.study import is_reference, reference_targets
from diffmem.errors import InputError, reading
from diffmem.store import RunDir

SELECTOR = re.compile(r"(.+)@(\d+|last|best|all)", re.DOTALL)


def open_targets(words: list[str], paths: ImagePaths) -> list[Target]:
    """The targets that `words` name, in their order. Raises InputError; draws nothing."""
    targets: list[Target] = []
    for word in words:
        if word in BOOKENDS:
            checkpoints = [target for target in targets if target.kind == "run"]
            if not checkpoints:
                raise InputError(f"{word} takes its images and sampler from a run: name a run before it.")
            targets.append(bookend(word, checkpoints[0]))
        else:
            with reading(word):
                targets += _open(word, paths)
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


def _open(word: str, paths: ImagePaths) -> list[Target]:
    selected = SELECTOR.fullmatch(word)
    path, which = (Path(selected[1]), selected[2]) if selected and not Path(word).exists() else (Path(word), "last")
    if not path.exists():
        raise InputError(f"{word}: there is no {path}. A target is PATH, PATH@STEP, PATH@last, PATH@best or PATH@all.")
    if RunDir(path).config_path.is_file():
        return run_targets(path, which)
    if is_reference(path):
        return reference_targets(path, which, paths)
    if selected and path != Path(word):
        raise InputError(f"{word}: only a run and a folder of the reference code have steps; leave out @{which}.")
    if is_diffusers(path):
        return [diffusers_target(path, paths)]
    if is_images(path):
        return [samples_target(path, paths)]
    raise InputError(
        f"{path} is no known target. Looked for: config.yaml (a run), Models/Model_<step> (the reference code), "
        "model_index.json or config.json with UNet2DModel (diffusers), image files, or a tensor "
        "(.pt, .npy, .safetensors) of samples."
    )
