"""From Hydra's overrides to checked settings. The one module that speaks Hydra.

`compose` gives one run's settings, `compose_grid` those of every point of a grid written in Hydra's grammar
(`data.n=16,32 model.width=8,16`, and the axes an experiment names), `multirun` hands a grid to Hydra's own launchers.
"""

import copy
import difflib
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from diffmem.config.options import build, known_keys, tags
from diffmem.config.settings import Config
from diffmem.config.theory import TheoryConfig
from diffmem.errors import InputError

CONFIGS = "diffmem.configs"


def compose(overrides: list[str]) -> Config:
    """The settings of one run. Raises InputError for anything unknown, ill-formed or out of range."""
    for override in _parse(overrides):
        if override.is_sweep_override():
            raise InputError(
                f"{override.input_line} names several values: `diffmem train -m` or `diffmem sweep` runs a grid."
            )
    return _to_config(_compose(overrides))


def compose_theory(overrides: list[str]) -> TheoryConfig:
    """The settings of `diffmem theory`. Raises InputError for anything unknown, ill-formed or out of range."""
    for override in _parse(overrides):
        if override.is_sweep_override():
            raise InputError(f"{override.input_line} names several values: write a list, such as n=[64,128].")
    return build(TheoryConfig, _plain(_compose(overrides, primary="theory", group_names=["data"])))


def compose_grid(overrides: list[str]) -> list[Config]:
    """The settings of every point of the grid, the experiment's own axes included (an override replaces its axis)."""
    fixed, axes = _split(overrides)
    choices = [list(_values(axis)) for axis in axes]
    if any(axis.key_or_group in groups() for axis in axes):
        return [_to_config(_compose([*fixed, *point])) for point in itertools.product(*choices)]
    base = _compose([*fixed, *(values[0] for values in choices)])  # once, since composing takes a while
    configs = []
    for point in itertools.product(*choices):
        settings = copy.deepcopy(base)
        for override in _parse(list(point)):
            OmegaConf.update(settings, override.key_or_group, override.value())
        configs.append(_to_config(settings))
    return configs


def _split(overrides: list[str]) -> tuple[list[str], list[Override]]:
    """The overrides that hold at every point of a grid, and its axes."""
    parsed = _parse(overrides)
    fixed = [str(override.input_line) for override in parsed if not override.is_sweep_override()]
    axes = [override for override in parsed if override.is_sweep_override()]
    named = {override.key_or_group for override in parsed}
    params = _compose(fixed, with_hydra=True).hydra.sweeper.params or {}
    return fixed, _parse([f"{key}={value}" for key, value in params.items() if key not in named]) + axes


def multirun(overrides: list[str], task: Callable[[Config], None]) -> None:
    """Run `task` at every point of the grid through Hydra's own sweeper and launcher, whichever the user has chosen."""

    def job(composed: DictConfig) -> None:
        task(_to_config(composed))

    overrides = [str(override.input_line) for override in _parse(overrides)]
    with tempfile.TemporaryDirectory(prefix="diffmem-") as folder:
        chosen = any(word.startswith(("hydra.sweep.dir=", "hydra/launcher=")) for word in overrides)
        kept_clean = [] if chosen else [f"hydra.sweep.dir={folder}"]
        before = sys.argv
        sys.argv = ["diffmem", "-m", *kept_clean, *overrides]
        try:
            hydra.main(version_base="1.3", config_path=f"pkg://{CONFIGS}", config_name="train")(job)()
        finally:
            sys.argv = before


def describe(overrides: list[str]) -> str:
    """The settings as YAML, under a line for each group that says what it may be."""
    lines = [f"# {name}: {', '.join(names)}" for name, names in groups().items()]
    return "\n".join([*lines, "", yaml.safe_dump(compose(overrides).to_mapping(), sort_keys=False).rstrip()])


def override_evaluation(settings: Mapping[str, Any], overrides: list[str]) -> Config:
    """The stored settings of a run with overrides of what may differ when it is measured again: eval, sampler, device.

    Raises InputError for any other key: it would be another run.
    """
    free = ("eval", "sampler", "device", "threads")
    parsed = _parse(overrides)
    for override in parsed:
        if override.key_or_group.partition(".")[0] not in free:
            raise InputError(
                f"{override.input_line}: a trained run can be measured under other {', '.join(free)} only."
            )
    wanted: Any = OmegaConf.to_container(_compose(overrides))
    merged = copy.deepcopy(dict(settings))
    for override in sorted(parsed, key=lambda override: "." in override.key_or_group):  # a group before its keys
        group, _, key = override.key_or_group.partition(".")
        if key:
            merged[group][key] = wanted[group][key]
        else:
            merged[group] = wanted[group]
    return Config.from_stored(merged)


def groups() -> dict[str, list[str]]:
    """The config groups and the names in each."""
    root = resources.files(CONFIGS)
    names_of = {}
    for folder in sorted(root.iterdir(), key=lambda entry: entry.name):
        if folder.is_dir() and not folder.name.startswith("_"):
            names = [Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".yaml")]
            names_of[folder.name] = sorted(names)
    return names_of


def _parse(overrides: list[str]) -> list[Override]:
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"an override cannot be read ({reason}): write key=value, such as data.n=64.") from error
    # Hydra takes no null for a group, and no experiment is the default
    return [override for override in parsed if (override.key_or_group, override.value()) != ("experiment", None)]


def _values(axis: Override) -> Iterator[str]:
    try:
        for value in axis.sweep_string_iterator():
            yield f"{axis.get_key_element()}={value}"
    except HydraException as error:
        raise InputError(f"{axis.input_line}: {error}") from error


def _compose(
    overrides: list[str],
    *,
    with_hydra: bool = False,
    primary: str = "train",
    group_names: list[str] | None = None,
) -> DictConfig:
    """Compose configs/<primary>.yaml, which has these groups (by default all)."""
    parsed = _parse(overrides)
    known = {name: names for name, names in groups().items() if group_names is None or name in group_names}
    for override in parsed:
        name = override.key_or_group
        if name in known and override.value() not in known[name]:
            raise InputError(f"{override.input_line}: {name} is one of {', '.join(known[name])}.")
    chosen = [str(override.input_line) for override in parsed if override.key_or_group in known]
    with _hydra():
        settings = hydra.compose(primary, overrides=chosen)
        _check_keys(parsed, settings, [*known])
        try:
            whole = [str(override.input_line) for override in parsed]
            return hydra.compose(primary, overrides=whole, return_hydra_config=with_hydra)
        except (HydraException, OmegaConfBaseException) as error:
            cause = error.__cause__ or error
            raise InputError(str(cause).splitlines()[0]) from error


def _check_keys(parsed: list[Override], settings: DictConfig, group_names: list[str]) -> None:
    """Every override must name a group or an option that these settings have."""
    applies = list(_leaves(OmegaConf.to_container(settings), ""))
    for override in parsed:
        name = override.key_or_group
        if name in group_names or name in applies or name.partition(".")[0].partition("/")[0] == "hydra":
            continue
        group = name.partition(".")[0]
        if group in settings and name in known_keys(Config):
            raise InputError(f"{name} does not apply to {group}={settings[group][tags(Config)[group]]}: leave it out.")
        near = difflib.get_close_matches(name, [*applies, *group_names], n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else "`diffmem train --cfg` shows them all."
        raise InputError(f"{name} is no option: {hint}")


def _leaves(settings: Any, prefix: str) -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _to_config(settings: DictConfig) -> Config:
    """An experiment sets options of its own variants, such as Adam's beta2, which another choice has no use for."""
    return Config.from_stored(_plain(settings))


def _plain(settings: DictConfig) -> dict[str, Any]:
    """The composed settings as a plain mapping, without Hydra's own."""
    try:
        plain = OmegaConf.to_container(settings, resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(str(error).splitlines()[0]) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "hydra"}


@contextmanager
def _hydra() -> Iterator[None]:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module(CONFIGS, version_base="1.3", job_name="diffmem"):
        yield
