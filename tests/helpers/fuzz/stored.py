"""Every file of a run directory, changed: cut, flipped, of another kind, or holding what nobody wrote there."""

import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.helpers.fuzz.judge import Case
from tests.helpers.tiny import OVERRIDES

SHORT = [*OVERRIDES, "executor=here", "train.steps=4"]
FILES = [
    *("config.yaml", "meta.json", "status.json", "metrics.jsonl", "timing.csv", "lock", "resume.json"),
    *(
        "resume/step_00000004.safetensors",
        "samples/step_00000002.safetensors",
        "checkpoints/step_00000002/diffmem.json",
    ),
    *("checkpoints/step_00000002/config.json", "checkpoints/step_00000002/diffusion_pytorch_model.safetensors"),
    *("checkpoints/step_00000002/scheduler/scheduler_config.json", "checkpoints/step_00000002", "samples", "resume"),
]
HARMS = [
    "cut",
    "flip",
    "empty",
    "junk",
    "pipe",
    "folder",
    "loop",
    "gone",
    "text",
    "text",
    "text",
    "value",
    "value",
    "value",
]
ALIASES = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
TEXTS = [
    *("[]", "{}", "3", "null", "[1]", '"x"', "\x00", "\ufeff{}", "{", "[" * 100_000, "9" * 5000, '{"step": 1e999}'),
    *('{"format": 99}', '{"status": "[/red]", "step": -1}', '[{"step": 4}]'),
    '[{"step": 1e309, "file": "x", "sha256": "0"}]',
    *(ALIASES, "- a", "a: *b", "a: &a\n  b: *a\n", "1: 2\n", "data: {1: 2}\n", "data: []\n", "data: 3\n"),
    "!!python/object/apply:os.system ['touch ran']\n",
    *(
        '{"step": 0, "f_mem": Infinity}\n',
        '{"step": 0}\n{"step": 0}\n',
        '{"step": 0, "f_mem": [1]}\n',
        '{"step": 1e400}\n',
    ),
]
VALUES = [
    None,
    "x",
    "",
    -1,
    0,
    1.5,
    1e300,
    10**30,
    True,
    [],
    [1],
    {},
    {"a": 1},
    "$x$",
    "[/red]",
    "../../outside",
    "<b>",
]
VERBS: dict[str, Callable[[str], list[str]]] = {
    "train": lambda run: ["train", *SHORT, "train.steps=5", "out=runs"],
    "evaluate": lambda run: ["evaluate", f"runs/{run}", "eval.k=0.4"],
    "fit": lambda run: ["fit", "runs"],
    "report": lambda run: ["report", "runs"],
    "advise": lambda run: ["advise", f"runs/{run}"],
    "compare": lambda run: ["compare", f"runs/{run}@2", "--samples", "8", "--device", "cpu", "--out", "out"],
}


@functools.cache
def trained() -> Path:
    """A folder with one tiny run: that of the environment variable FUZZ_RUNS, or made once a process."""
    from diffmem.cli.main import main

    if made := os.environ.get("FUZZ_RUNS"):
        return Path(made)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-")) / "runs"
    assert main(["train", *SHORT, f"out={folder}"]) == 0
    return folder


@st.composite
def cases(draw: st.DrawFn) -> Case:
    verb, file, harm = draw(st.sampled_from(sorted(VERBS))), draw(st.sampled_from(FILES)), draw(st.sampled_from(HARMS))
    at, text, value = draw(st.integers(0, 1_000_000)), draw(st.sampled_from(TEXTS)), draw(st.sampled_from(VALUES))
    (run,) = os.listdir(trained())

    def make(folder: Path) -> None:
        shutil.copytree(trained(), folder / "runs")
        _change(folder / "runs" / run / file, harm, at, text, value)

    detail = {"text": text[:30], "value": f"{at} {value}"}.get(harm, str(at))
    names = (Path(file).name, file.partition("/")[0], run, "runs", "data.", "model.", "eval.")
    return Case("stored", f"{verb} {file} {harm} {detail!r}", tuple(VERBS[verb](run)), names, make)


def _change(path: Path, harm: str, at: int, text: str, value: object) -> None:
    content = path.read_bytes() if path.is_file() else b""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    at %= max(len(content), 1)
    if harm == "pipe":
        os.mkfifo(path)
    elif harm == "folder":
        path.mkdir()
    elif harm == "loop":
        path.symlink_to(path.name)
    elif harm == "value":
        path.write_bytes(_with_value(path.suffix, content, at, value))
    elif harm != "gone":
        flipped = content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :] if content else b"\xff"
        path.write_bytes(
            {"cut": content[:at], "flip": flipped, "empty": b"", "junk": os.urandom(99)}.get(harm, text.encode())
        )


def _with_value(suffix: str, content: bytes, at: int, value: object) -> bytes:
    """The file with one value, chosen by `at`, replaced; other kinds of files become that value."""
    import yaml

    if suffix == ".yaml":
        return yaml.safe_dump(_replaced(yaml.safe_load(content), at, value), sort_keys=False).encode()
    if suffix == ".json":
        return json.dumps(_replaced(json.loads(content), at, value)).encode()
    if suffix == ".jsonl":
        rows = [json.loads(line) for line in content.splitlines()]
        return b"".join(json.dumps(row).encode() + b"\n" for row in _replaced(rows, at, value))
    return json.dumps(value).encode()


def _replaced(tree: Any, at: int, value: object) -> Any:
    """`tree` with its leaf or branch number `at` (modulo their number) replaced."""
    places: list[tuple[object, object]] = []

    def collect(node: object) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, inner in list(items):
            places.append((node, key))
            collect(inner)

    collect(tree)
    if not places:
        return value
    node, key = places[at % len(places)]
    node[key] = value  # type: ignore[index]
    return tree
