"""Every public call refuses what it cannot take with the name of the argument, and never with somebody else's words."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import diffmem
from diffmem.analysis import pipeline
from diffmem.errors import InputError
from diffmem.metrics.memorization import gap_ratio, memorized_fraction
from diffmem.metrics.search import TrainingIndex, duplicates, nearest_two
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers.families import planted_rows
from tests.helpers.tiny import tiny

IMAGES = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(0))
D = torch.tensor([0.1, 0.2])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two checkpoints, 0 and 2."""
    planned = plan(tiny(tmp_path_factory.mktemp("runs"), train={"steps": 2}))
    execute(planned)
    return planned.run.path


@pytest.fixture(scope="module")
def run(path: Path) -> diffmem.Run:
    return diffmem.load_run(path)


RUN: list[tuple[str, Callable[[diffmem.Run], object]]] = [
    *((f"step={step!r}", lambda run, step=step: run.model(step)) for step in ("2", 2.0, None, [2], float("nan"), True)),
    *((f"weights={w!r}", lambda run, w=w: run.model(2, w)) for w in ("foo", None, 3, ["raw"])),
    *((f"step={step!r}", lambda run, step=step: run.samples(step)) for step in ("2", 2.5, None, -1)),
    *((f"count={count!r}", lambda run, count=count: run.samples(2, count)) for count in ("3", -1, 1.5)),
    *((f"samples={m!r}", lambda run, m=m: run.sample(2, m)) for m in (0, "3", 2.5, 10**13, None)),
    *((f"x={x!r}", lambda run, x=x: run.to_images(x)) for x in (None, "image", [1.0])),
    ("n='8'", lambda run: diffmem.load_runs(run.path, n="8")),  # type: ignore[arg-type]
    ("seed=-1", lambda run: diffmem.load_runs(run.path, seed=-1)),
    ("at='2'", lambda run: pipeline.advice(run.path, "2")),  # type: ignore[arg-type]
    ("group=3", lambda run: pipeline.advice(run.path, group=3)),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("named", "call"), RUN, ids=[named for named, _ in RUN])
def test_a_run_refuses_with_the_name(named: str, call: Callable[[diffmem.Run], object], run: diffmem.Run) -> None:
    refused(named, lambda: call(run))


PATHS: list[tuple[str, Callable[[Any], object]]] = [
    ("path", diffmem.load_run),
    ("folder", diffmem.load_runs),
    ("source", diffmem.load_family),
    ("source", diffmem.fit),
    ("source", pipeline.fit),
    ("run", pipeline.advice),
]


@pytest.mark.parametrize(("name", "call"), PATHS, ids=[call.__name__ for _, call in PATHS])
@pytest.mark.parametrize("value", [None, 3, b"runs", ["runs"], "", "a\0b", "~nosuchuser/runs"], ids=repr)
def test_a_path_is_refused_with_the_name(name: str, call: Callable[[Any], object], value: Any) -> None:
    refused(name, lambda: call(value))


@pytest.mark.parametrize("call", [call for _, call in PATHS], ids=[call.__name__ for _, call in PATHS])
def test_what_is_not_there_is_refused(call: Callable[[Any], object], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no table\n1")
    for place in ("missing", "file/inside", "a" * 5000):
        with pytest.raises((InputError, OSError)):
            call(tmp_path / place)


CHOICES = [
    *({name: 3} for name in ("mem", "gen", "bias", "quality", "group")),
    *({"level": value} for value in ("1", float("nan"), None.__class__)),
    *({"loss_t": value} for value in ("1", 2.5, -1)),
    *({"samples": value} for value in ("1", 0)),
]


@pytest.mark.parametrize("choice", CHOICES, ids=repr)
def test_a_choice_is_refused_with_its_name(choice: dict[str, Any], tmp_path: Path) -> None:
    planted_rows(16, 400, 150).to_csv(tmp_path / "m.csv", index=False)
    refused(next(iter(choice)), lambda: diffmem.fit(tmp_path / "m.csv", **choice))


def test_a_fit_refuses_with_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    planted_rows(16, 400, 150).to_csv("m.csv", index=False)
    found = diffmem.fit("m.csv")
    refused("name", lambda: found.draw(3))  # type: ignore[arg-type]
    refused("figure 'law'", lambda: found.draw("law"))
    refused("out", lambda: found.save(3))  # type: ignore[arg-type]
    refused("data", lambda: diffmem.fit("m.csv", data=3))  # type: ignore[arg-type]
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.csv"]


METRICS: list[tuple[str, Callable[[], object]]] = [
    *((f"k={k!r}", lambda k=k: memorized_fraction(D, D, k)) for k in (0, 1.5, "0.3", None, float("nan"))),
    *((f"d1={d!r}", lambda d=d: gap_ratio(d, D)) for d in (None, "d", [0.1, 0.2], np.array(["a"]))),
    ("d2", lambda: gap_ratio(D, torch.rand(3))),
    ("samples", lambda: nearest_two([1.0], IMAGES)),  # type: ignore[arg-type]
    ("train", lambda: nearest_two(IMAGES, None)),  # type: ignore[arg-type]
    ("train", lambda: TrainingIndex("images")),  # type: ignore[arg-type]
    ("train", lambda: duplicates(3)),  # type: ignore[arg-type]
    *((f"tile={tile!r}", lambda tile=tile: nearest_two(IMAGES, IMAGES, tile=tile)) for tile in (0, -1, 2.5, "a")),
    *((f"device={dev!r}", lambda dev=dev: nearest_two(IMAGES, IMAGES, device=dev)) for dev in ("gpu", "cuda:99", 3.5)),
    ("samples", lambda: nearest_two(IMAGES[:0], IMAGES)),
    ("shape", lambda: nearest_two(IMAGES[:, :, :2], IMAGES)),
    ("training images", lambda: nearest_two(IMAGES, IMAGES[:0])),
    ("samples", lambda: nearest_two(IMAGES * torch.nan, IMAGES)),
]


@pytest.mark.parametrize(("named", "call"), METRICS, ids=[named for named, _ in METRICS])
def test_a_metric_refuses_with_the_name(named: str, call: Callable[[], object]) -> None:
    refused(named, call)


MONITOR: list[dict[str, Any]] = [
    *({name: value} for name in ("samples", "batch", "patience", "width") for value in (0, "1", 1.5, None)),
    *({"seed": value} for value in (-1, "0", 0.5)),
    *({"k": value} for value in (0, 1.5, "0.3", float("nan"))),
    *({"stop_at": value} for value in ("never", 3, None, "generalizing")),
    *({"value_range": value} for value in ((1, -1), (0, float("nan")), 3, (0, 1, 2), ("a", "b"))),
    *({"csv": value} for value in (3, "", b"a")),
    *({"run": value} for value in (3, None)),
    *({"device": value} for value in ("gpu", "cuda:99", 3.5)),
    *({"heldout": value} for value in ("images", [1.0], torch.tensor(3.0), IMAGES[:, :, :2], IMAGES * torch.inf)),
]


@pytest.mark.parametrize("option", MONITOR, ids=lambda option: str(option)[:40])
def test_a_monitor_refuses_with_the_name(option: dict[str, Any]) -> None:
    (name,) = option
    refused("samples|shape" if isinstance(option[name], torch.Tensor) else name, lambda: monitor(**option))


def monitor(**options: Any) -> diffmem.MemorizationMonitor:
    chosen = {"heldout": IMAGES[8:], "samples": 4, **options}
    return diffmem.MemorizationMonitor(IMAGES[:8], **chosen)


@pytest.mark.parametrize("step", [float("nan"), 1.0, "1", None, -1, True])
def test_a_monitor_refuses_a_step_that_is_none(step: Any) -> None:
    refused("step", lambda: monitor()(step, lambda m: IMAGES[:m]))


@pytest.mark.parametrize(
    "source",
    [None, 3, IMAGES, lambda m: None, lambda m: IMAGES[:1], lambda m: "images"],
    ids=["null", "number", "images", "draws null", "draws too few", "draws a word"],
)
def test_a_monitor_refuses_a_source_that_draws_nothing(source: Any) -> None:
    watched = monitor()
    refused("source|samples", lambda: watched(1, source))
    assert watched.curve == []


def test_a_stored_run_that_was_damaged_is_named(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    (copy / "config.yaml").write_text((copy / "config.yaml").read_text().replace("width: 4", "width: four"))
    refused(r"config\.yaml: model.width='four'", lambda: diffmem.load_run(copy))


def refused(named: str, call: Callable[[], object]) -> None:
    with pytest.raises((InputError, TypeError)) as caught:
        call()
    words = str(caught.value)
    wanted = named.partition("=")[0] + "=" if "=" in named and "\\" not in named else named
    assert re.search(wanted, words), words
    assert len(words) < 600
