"""The figures of the study as `configs/study/` has them: what each claims, and the runs behind it.

title: ...              what the figure shows, in a few words
reader: laws            a reader of `diffmem.analysis.studies`
claims:                 key of the reader -> words, published value or range, why reduced runs disagree
  digits.tau_mem.alpha: {words: ..., published: 1}
reduced, full:          arm -> the words of its `diffmem sweep`
  digits: experiment=digits_law
"""

import difflib
import shlex
from dataclasses import dataclass
from importlib import resources

import yaml

from diffmem.arguments import shown
from diffmem.errors import InputError
from diffmem.records import Claim

STUDIES = "study"  # the folder of configs that is no group of options


@dataclass(frozen=True, kw_only=True)
class Study:
    """One figure: its claims by the keys of its `reader`, and the arms of its two versions as words of a sweep."""

    name: str
    title: str
    reader: str
    claims: dict[str, Claim]
    reduced: dict[str, list[str]]
    full: dict[str, list[str]]


def study_names() -> list[str]:
    """The figures of the study, in order of their names."""
    folder = resources.files("diffmem.configs") / STUDIES
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_study(name: str) -> Study:
    """The figure called `name`. Raises InputError for a name that is none."""
    names = study_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}."
        raise InputError(f"{shown(name)} is no figure of the study: {hint}")
    body = yaml.safe_load((resources.files("diffmem.configs") / STUDIES / f"{name}.yaml").read_text())
    return Study(
        name=name,
        title=body["title"],
        reader=body["reader"],
        claims={key: _claim(values) for key, values in body["claims"].items()},
        **{
            version: {arm: shlex.split(words) for arm, words in body[version].items()}
            for version in ("reduced", "full")
        },
    )


def _claim(values: dict[str, object]) -> Claim:
    published = values.get("published")
    return Claim(**{**values, "published": tuple(published) if isinstance(published, list) else published})  # type: ignore[arg-type]
