"""From Hydra's overrides to checked settings. The one module that speaks Hydra.

`compose` gives one run's settings, `compose_grid` those of every point of a grid written in Hydra's grammar
(`data.n=16,32 model.width=8,16`, and the axes an experiment names), `multirun` hands a grid to Hydra's own launchers.
"""

import copy
import difflib
import functools
import itertools
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
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

from diffmem.arguments import shown
from diffmem.config import identity
from diffmem.config.data import CardConfig, Data
from diffmem.config.options import build, known_keys, path_keys, tags, to_mapping
from diffmem.config.settings import Config
from diffmem.config.study import STUDIES
from diffmem.config.theory import TheoryConfig
from diffmem.config.tracker import Tracker, Tracking
from diffmem.config.words import quoted_paths
from diffmem.errors import InputError, first_line

CONFIGS = "diffmem.configs"
MOST_POINTS = 10_000  # of a grid
MOST_WORDS, LONGEST, DEEPEST = 1000, 20_000, 64  # overrides, and characters and brackets of one


def compose(overrides: list[str]) -> Config:
    """The settings of one run. Raises InputError for anything unknown, ill-formed or out of range."""
    for override in _parse(overrides):
        if override.is_sweep_override():
            raise InputError(
                f"{override.input_line} names several values: `diffmem train -m` or `diffmem sweep` runs a grid."
            )
    return _to_config(_compose(overrides))


def compose_tracker(overrides: list[str]) -> Tracker:
    """Where the runs of a command send what they write. Raises InputError for what is unknown or out of range."""
    parsed = _parse(overrides)
    for override in parsed:
        if override.is_sweep_override() and override.key_or_group.partition(".")[0] == "tracker":
            raise InputError(f"{override.input_line} names several values: the runs of a grid share one tracker.")
    fixed = [str(override.input_line) for override in parsed if not override.is_sweep_override()]
    return build(Tracking, {"tracker": _plain(_compose(fixed))["tracker"]}).tracker


def compose_data(overrides: list[str]) -> Data:
    """The data set that `data` and `data.KEY` name. Raises InputError for anything unknown or out of range."""
    for override in _parse(overrides):
        if override.is_sweep_override():
            raise InputError(f"{override.input_line} names several values: a card is of one data set.")
    return build(CardConfig, _plain(_compose(overrides, primary="data", group_names=["data"]))).data


def compose_theory(overrides: list[str]) -> TheoryConfig:
    """The settings of `diffmem theory`. Raises InputError for anything unknown, ill-formed or out of range."""
    for override in _parse(overrides):
        if override.is_sweep_override():
            raise InputError(f"{override.input_line} names several values: write a list, such as n=[64,128].")
    return build(TheoryConfig, _plain(_compose(overrides, primary="theory", group_names=["data"])))


def describe_theory(overrides: list[str]) -> str:
    """The settings of `diffmem theory` as YAML, under a line that says what `data` may be."""
    settings = yaml.safe_dump(compose_theory(overrides).to_mapping(), sort_keys=False).rstrip()
    return f"# data: {', '.join(groups()['data'])}\n\n{settings}"


def compose_grid(overrides: list[str]) -> list[Config]:
    """The settings of every point of the grid, the experiment's own axes included (an override replaces its axis)."""
    fixed, axes = _split(overrides)
    choices = [list(itertools.islice(_values(axis), MOST_POINTS + 1)) for axis in axes]
    for axis, values in zip(axes, choices, strict=True):
        if not values:
            raise InputError(f"{axis.input_line} names no value, so the grid is empty: give it one, such as data.n=16.")
    if math.prod(map(len, choices)) > MOST_POINTS:
        longest = axes[max(range(len(axes)), key=lambda place: len(choices[place]))]
        raise InputError(
            f"{shown(longest.input_line)} makes a grid of more than {MOST_POINTS} runs: name fewer values."
        )
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
    config = compose(overrides)
    tracker = to_mapping(compose_tracker(overrides))
    settings = {**identity.whole(to_mapping(config)), "tracker": tracker}
    return "\n".join([*lines, "", yaml.safe_dump(settings, sort_keys=False).rstrip()])


def describe_grid(overrides: list[str]) -> str:
    """A line for each axis of the grid, and the settings of its first point as `describe` has them."""
    fixed, axes = _split(overrides)
    first = [next(_values(axis)) for axis in axes]
    return "\n".join([*(f"# grid: {axis.input_line}" for axis in axes), describe([*fixed, *first])])


def evaluation_grid(settings: Mapping[str, Any], overrides: list[str], file: Path | None = None) -> list[Config]:
    """`override_evaluation` at every point of the grid that `overrides` span."""
    parsed = _parse(overrides)
    fixed = [str(override.input_line) for override in parsed if not override.is_sweep_override()]
    axes = [list(_values(override)) for override in parsed if override.is_sweep_override()]
    return [override_evaluation(settings, [*fixed, *point], file) for point in itertools.product(*axes)]


def override_evaluation(settings: Mapping[str, Any], overrides: list[str], file: Path | None = None) -> Config:
    """The stored settings of a run with overrides of what may differ when it is measured again: eval, sampler, device.

    Raises InputError for any other key: it would be another run.
    """
    Config.from_stored(settings, file)
    free = ("eval", "sampler", "device", "threads")
    parsed = _parse(overrides)
    for override in parsed:
        if override.key_or_group.partition(".")[0] not in free:
            raise InputError(
                f"{override.input_line}: a trained run can be measured under other {', '.join(free)} only."
            )
    named = {override.key_or_group for override in parsed}
    _check_named(settings["eval"], named)
    wanted: Any = OmegaConf.to_container(_compose(overrides))
    merged = copy.deepcopy(dict(settings))
    for override in sorted(parsed, key=lambda override: "." in override.key_or_group):  # a group before its keys
        group, _, key = override.key_or_group.partition(".")
        if key:
            merged[group][key] = wanted[group][key]
        else:
            merged[group] = wanted[group]
    if merged["eval"]["weights"] != "posthoc" and "eval.ema_sigma" not in named:
        merged["eval"].pop("ema_sigma", None)  # of the weights that the run's own rows are of
    return Config.from_stored(merged)


def _check_named(measured: Mapping[str, Any], named: set[str]) -> None:
    """Raise InputError where the stored settings `measured` of eval name code that the user has not `named` anew."""
    for option in ("quality", "features"):
        words = measured.get(option) or ()
        for word in [words] if isinstance(words, str) else words:
            if "module:" in word and not named & {"eval", f"eval.{option}"}:
                raise InputError(
                    f"eval.{option}={word} runs code that the run's own config names: name it again, as "
                    f"eval.{option}={word}, to have it run."
                )


def groups() -> dict[str, list[str]]:
    """The config groups and the names in each."""
    root = resources.files(CONFIGS)
    names_of = {}
    for folder in sorted(root.iterdir(), key=lambda entry: entry.name):
        if folder.is_dir() and not folder.name.startswith("_") and folder.name != STUDIES:
            names_of[folder.name] = sorted(_names(folder))
    return names_of


def _names(folder: Traversable, prefix: str = "") -> Iterator[str]:
    """The configs in `folder`, those in folders of it as `FOLDER/NAME`."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.name.startswith("_"):
            yield from _names(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".yaml"):
            yield prefix + entry.name.removesuffix(".yaml")


def _parse(overrides: list[str]) -> list[Override]:
    parser = OverridesParser.create()

    def read(word: str) -> Override:
        try:
            found = parser.parse_override(word)
            found.value()
            if not found.key_or_group:
                raise ValueError("it names no option")
        except (HydraException, ValueError, RecursionError) as error:
            key, equals, _ = word.partition("=")
            named = key.strip() and equals
            hint = f"quote the value, as in \"{shown(key)}='...'\"" if named else "write key=value, such as data.n=64"
            raise InputError(f"{shown(word)} cannot be read ({first_line(error, 120)}): {hint}.") from error
        return found

    if len(overrides) > MOST_WORDS:
        raise InputError(f"{len(overrides)} overrides are too many: give at most {MOST_WORDS}.")
    for word in overrides:
        if len(word) > LONGEST or max(map(word.count, "[{(")) > DEEPEST:
            raise InputError(f"{shown(word)} is too long or too deep: nothing here takes so much.")
    parsed = [read(word) for word in quoted_paths(overrides, path_keys(Config))]
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
    chosen = tuple(str(override.input_line) for override in parsed if override.key_or_group in known)
    _check_keys(parsed, _composed(primary, chosen), [*known], primary)
    try:
        whole = tuple(str(override.input_line) for override in parsed)
        return _composed(primary, whole, with_hydra=with_hydra)
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ or error
        raise InputError(str(cause).splitlines()[0]) from error


@functools.lru_cache(maxsize=32)
def _composed(primary: str, overrides: tuple[str, ...], *, with_hydra: bool = False) -> DictConfig:
    """What Hydra composes, read and never changed. Kept, since a command composes the same several times."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_module(CONFIGS, version_base="1.3", job_name="diffmem"):
        return hydra.compose(primary, overrides=list(overrides), return_hydra_config=with_hydra)


def _check_keys(parsed: list[Override], settings: DictConfig, group_names: list[str], verb: str) -> None:
    """Every override must name a group or an option that these settings of `verb` have."""
    applies = list(_leaves(OmegaConf.to_container(settings), ""))
    for override in parsed:
        name = override.key_or_group
        if name in group_names or name in applies or name.partition(".")[0].partition("/")[0] == "hydra":
            continue
        group = name.partition(".")[0]
        if group in settings and name in known_keys(Config) + known_keys(Tracking):
            tag = {**tags(Config), **tags(Tracking)}[group]
            raise InputError(f"{name} does not apply to {group}={settings[group][tag]}: leave it out.")
        near = difflib.get_close_matches(name, [*applies, *group_names], n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"`diffmem {verb} --cfg` shows them all."
        raise InputError(f"{name} is no option: {hint}")


def _leaves(settings: Any, prefix: str) -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _to_config(settings: DictConfig) -> Config:
    """An experiment sets options of its own variants, such as Adam's beta2, which another choice has no use for."""
    plain = _plain(settings)
    return Config.from_stored({name: value for name, value in plain.items() if name != "tracker"})


def _plain(settings: DictConfig) -> dict[str, Any]:
    """The composed settings as a plain mapping, without Hydra's own."""
    try:
        plain = OmegaConf.to_container(settings, resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(f"{error.full_key}: {first_line(error, 120)}: write the value itself.") from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "hydra"}
