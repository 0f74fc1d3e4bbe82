"""Overrides of every key, as the dataclasses declare them: values of each kind, in range, out of range, and none."""

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from diffmem.config.options import variants
from diffmem.config.settings import Config
from diffmem.config.theory import TheoryConfig
from tests.helpers.fuzz.judge import OUTPUTS, Case
from tests.helpers.tiny import OVERRIDES

BASE = [*OVERRIDES, "executor=here", "train.steps=1", "out=out"]
MIXTURE = ["data=mixture", "model=resmlp", "data.n=8", "model.width=4", "model.blocks=1", "data.dim=2"]
GROUPS = ("data", "model", "diffusion", "optimizer", "sampler", "eval", "executor", "experiment")
NUMBERS = ["-1", "0", "1", "2", "3", "0.5", "1e-320", "-1e300", "1e12", "1e18", "1e54", "1e300", "1e309", "nan", "-inf"]
WORDS = [
    "null",
    "true",
    "full",
    "auto",
    "raw",
    "cpu:7",
    "cuda",
    "[]",
    "[1]",
    "[1,2]",
    "[1e309]",
    "[-1]",
    "{a:1}",
    "''",
    "?",
]
ODD = [
    *("[[[[1]]]]", "[" * 400 + "]" * 400, "9" * 5000, "1_000", "0x10", "1e", "'", "(", "a b", "é", "写真", "x" * 5000),
    *(
        "${seed}",
        "${nothing}",
        "${oc.env:HOME}",
        "a,b",
        "1,2",
        "range(0,1000000)",
        "choice(1,2)",
        "glob(*)",
        "~",
        "=",
        "$(id)",
    ),
    *(
        "photos (1)",
        "/home/zoé/photos",
        "~nosuchuser/x",
        "/dev/null",
        "/proc/x",
        "missing/" + "n" * 300,
        "../outside/x",
    ),
]
SLOW = {
    "data=fashion_mnist",
    "experiment=mixture",
    "experiment=digits_law",
    "experiment=quickstart",
    "model=unet",
    "eval=full",
}


def keys_of(cls: Any, prefix: str = "") -> Iterator[str]:
    """Every option of `cls` and of all its variants, by its dotted name."""
    hints = typing.get_type_hints(cls)
    for entry in dataclasses.fields(cls):
        hint = hints[entry.name]
        groups: list[Any] = [*variants(hint).values()] or ([hint] if dataclasses.is_dataclass(hint) else [])
        for group in groups:
            yield from keys_of(group, f"{prefix}{entry.name}.")
        if not groups:
            yield prefix + entry.name


KEYS = sorted(set(keys_of(Config)))
THEORY = sorted(set(keys_of(TheoryConfig)))
values = st.one_of(
    st.sampled_from(NUMBERS), st.sampled_from(WORDS), st.sampled_from(ODD), st.floats().map(repr), st.text(max_size=8)
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    verb = draw(st.sampled_from(["train"] * 6 + ["theory"] * 2 + ["sweep", "train -m"]))
    key = draw(st.sampled_from(THEORY if verb == "theory" else [*KEYS, *GROUPS]))
    if draw(st.integers(0, 19)) == 0:
        key = draw(
            st.sampled_from(["data.m", "+data.n", "~data.n", "data", "hydra.run", "", "=", "data.n.x", "a" * 300])
        )
    value = draw(values).replace("\0", "0")
    word = f"{key}={value}"
    if word in SLOW:
        word = f"{key}=none"
    first, *rest = verb.split()
    base = MIXTURE if key.startswith("data.") and key.split(".")[1] in ("dim", "mu", "sigma") else []
    named = {given.partition("=")[0] for given in [*base, word]}
    words = [first, *rest, *_with(BASE, named), *base, word]
    if verb == "theory":
        words = [
            "theory",
            draw(st.sampled_from(["curves", "spectrum", "timescales"])),
            "draws=0",
            "points=10",
            "out=out",
            word,
        ]
    elif verb == "sweep" and key != "experiment":
        words.insert(1, "experiment=null")
    names = (
        key.lstrip("+~"),
        key.rpartition(".")[2],
        word[:30],
        "an override",
        *GROUPS,
        "data.",
        "model.",
        "out=",
        "override",
    )
    outputs = (*OUTPUTS, value) if key == "out" else OUTPUTS
    return Case(
        "overrides", f"{verb} {word[:60]!r}", tuple(words), tuple(name for name in names if name), outputs=outputs
    )


def _with(base: list[str], named: set[str]) -> list[str]:
    """`base` without the keys `named`, and without the keys of a group that is chosen anew."""
    return [
        word
        for word in base
        if word.partition("=")[0] not in named
        and not ({"data", "model"} & named and word.startswith(("data.", "model.")))
    ]
