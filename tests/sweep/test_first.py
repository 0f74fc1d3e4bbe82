"""A first sweep is proposed from the images and the machine: it plans as it stands, fits its hours, and says why."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diffmem.cli.main import main
from diffmem.config.compose import compose_grid
from diffmem.config.settings import Config
from diffmem.errors import InputError
from diffmem.sweep import cost, first
from diffmem.sweep.cost import Cost
from diffmem.sweep.grid import plan_grid
from diffmem.training.beside import Beside, BesideCost
from diffmem.training.speed import Speed
from tests.helpers.image_files import random_images, write_folder
from tests.helpers.tiny import tiny

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def by_size(config: Config, device: torch.device) -> Cost:
    """A step takes a millisecond at 8x8, and grows with the pixels."""
    return Cost(config.data.d / 64e3, 1.0)


def values(words: tuple[str, ...]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words)


def test_what_a_folder_looks_like(empty: Path) -> None:
    root = write_folder(empty / "photos", random_images(20, 24, 30))
    (root / "a.txt").write_text("")
    found = first.look(root)
    assert (found.count, found.free, found.side, found.gray) == (20, 10, 24, True)
    assert "1 file of" in found.left_out
    Image.fromarray(random_images(1, 24, 30, 3)[0]).save(root / "20.png")
    assert first.look(root).gray is False


@pytest.mark.parametrize("name", ["photos", "my photos (1)", "zoé's"])
def test_the_proposal_plans_as_it_stands(empty: Path, name: str) -> None:
    root = write_folder(empty / name, random_images(200, 24, 24))
    made = first.propose(first.look(root), CPU, 1e9, by_size)
    said = values(made.words)
    assert (said["data.n"], said["data.size"], said["data.channels"]) == ("12,25,50,100", "16", "1")
    assert said["train.steps"] == "5000"
    plans = plan_grid(compose_grid(shlex.split(shlex.join(made.words))))
    assert sorted(planned.config.data.n for planned in plans) == [12, 25, 50, 100]
    assert {planned.config.data.root for planned in plans} == {str(root)}  # type: ignore[union-attr]
    assert {planned.config.data.scale for planned in plans} == {"auto"}
    assert list(empty.glob("runs")) == []


def test_the_size_is_the_largest_that_fits_the_hours(empty: Path) -> None:
    images = first.look(write_folder(empty / "photos", random_images(200, 40, 40, 3)))
    sizes = {}
    for hours in (10, 0.05, 1e-4):
        made = first.propose(images, CPU, hours, by_size)
        sizes[hours] = values(made.words)["data.size"]
        assert made.expected <= made.most
    assert sizes == {10: "32", 0.05: "16", 1e-4: "8"}
    assert made.most > 1e-4 * 3600  # the smallest there is takes longer: the proposal stands, and says so
    assert "16 would take" in made.why["data.size"]


def test_runs_are_counted_as_many_at_once_as_there_are_cores(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = first.look(write_folder(empty / "photos", random_images(400, 8, 8)))
    monkeypatch.setattr(first.machine, "cores", lambda: 2)
    made = first.propose(images, CPU, 10, lambda config, device: Cost(0.01, 0.0))
    assert made.at_once == 2
    assert values(made.words)["data.n"] == "25,50,100,200"
    assert made.most == pytest.approx(4 * 10000 * 0.01 / 2)
    assert made.expected == pytest.approx(200 * 50 * 0.01)  # the longest run, which is longer than half of the sum


def test_too_few_images_are_refused(empty: Path) -> None:
    with pytest.raises(InputError, match="holds 14 images, of which 7 are left to train on: give 16 images or more"):
        first.propose(first.look(write_folder(empty / "photos", random_images(14, 8, 8))), CPU, 1, by_size)


def test_cost_counts_steps_and_checkpoints() -> None:
    config = tiny()  # checkpoints at 0, 2, 4, 6, 11, 20, 24
    assert Cost(1.0, 100.0).of_run(config, 24) == 24 + 700
    assert Cost(1.0, 100.0).of_run(config, 10) == 10 + 400


def test_what_is_measured_is_a_step_and_the_calls_of_an_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Speed, "step", lambda *_: 3.0)
    monkeypatch.setattr(Speed, "call", lambda *_: 5.0 / 64)  # of one image
    monkeypatch.setattr(BesideCost, "__call__", lambda *_: Beside(300.0, 60.0, 2820, 2612))
    made = cost.measure(tiny(eval={"samples": 128, "tile": 64, "t": [2, 5]}, sampler={"calls": 7}), CPU)
    assert made.step == 3.0
    assert made.evaluation == 5.0 * (7 * 2 + 2 * 2 * 64 / 64) + 60.0


def test_init_prints_a_command_with_its_time_and_reasons(
    empty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(empty / "photos", random_images(200, 24, 24))
    monkeypatch.setattr(BesideCost, "__call__", lambda *_: Beside(300.0, 0.01, 2820, 2612))
    assert main(["init", "photos", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    (command,) = [line.strip() for line in said.splitlines() if line.startswith("    diffmem sweep ")]
    assert plan_grid(compose_grid(shlex.split(command)[2:]))
    assert "photos: 200 images gray, 24 pixels on the shorter side" in said
    assert "steps/s" in said
    assert "Why:" in said
    assert [path.name for path in empty.iterdir()] == ["photos"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "DATA=nowhere does not exist"),
        (["photos", "--hours", "0"], "--hours=0.0 is no time to wait"),
        (["photos", "--hours", "inf"], "--hours=inf is no time to wait"),
        (["photos", "--device", "gpu"], "device=gpu is no device"),
        (["photos/0.png"], "DATA=photos/0.png can't be read"),
        (["broken"], "can't be decoded"),
    ],
)
def test_bad_input(words: list[str], said: str, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(empty / "photos", random_images(4, 8, 8))
    write_folder(empty / "broken", np.zeros((20, 8, 8), np.uint8))
    (empty / "broken" / "3.png").write_bytes(b"no image")
    assert main(["init", *words]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""
