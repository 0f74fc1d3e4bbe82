"""`diffmem sweep --dry-run`: numbers and nothing written; bad input; what the README shows."""

import json
import re
from pathlib import Path

import pytest

from diffmem.cli.main import main
from diffmem.training.beside import Beside, BesideCost
from tests.helpers.tiny import OVERRIDES, tiny

README = Path(__file__).resolve().parents[2] / "README.md"
GRID = [*(word for word in OVERRIDES if not word.startswith("data.n=")), "data.n=8,12", "experiment=null", "out=runs"]
ELSEWHERE = ["executor=here", "executor.tflops=0.001"]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an evaluation whose cost beside the network is not measured."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(BesideCost, "__call__", lambda *_: Beside(300.0, 60.0, 2820, 2612))
    return tmp_path


def test_it_writes_nothing_and_counts_what_is_left(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sweep", "--dry-run", *GRID, *ELSEWHERE]
    assert main(command) == 0
    assert "2 runs in runs, longest first: 2 new." in capsys.readouterr().out
    assert list(empty.iterdir()) == []

    assert main(["train", *OVERRIDES, "out=runs", "train.steps=6"]) == 0
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in empty.rglob("*") if path.is_file()}
    folders = {path: path.stat().st_mtime_ns for path in empty.rglob("*") if path.is_dir()}
    capsys.readouterr()
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(run["n"], run["state"], run["steps"], run["rows"]) for run in found["runs"]] == [
        *((12, "new", 24, 7), (8, "begun", 18, 3))
    ]
    assert found["workers"] == 1
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before
    assert {path: path.stat().st_mtime_ns for path in empty.rglob("*") if path.is_dir()} == folders


def test_more_devices_take_less_time(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wall = []
    for words in ([], ["--devices", "2"]):
        assert main(["sweep", "--dry-run", "--json", *words, *GRID, *ELSEWHERE]) == 0
        wall.append(json.loads(capsys.readouterr().out)["seconds"])
    assert wall[0] / 2 <= wall[1] < wall[0]


def test_the_executor_says_how_many_run_at_once(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--dry-run", "--json", *GRID, "executor=pool", "executor.workers=3"]) == 0
    assert json.loads(capsys.readouterr().out)["workers"] == 3
    assert list(empty.iterdir()) == []


BAD = [
    (["executor.tflops=-1"], "executor.tflops=-1.0 is out of range: it must be > 0 and"),
    (["executor.tflops=fast"], "executor.tflops='fast' is not a number or null."),
    (["--devices", "2"], "--devices 2 needs what one of them sustains: add executor.tflops"),
    (["--devices", "0", "executor.tflops=1"], "--devices: 0 is out of range"),
    (["data.n=range(5,5)"], "data.n=range(5,5) names no value, so the grid is empty"),
    (["--adaptive"], "leave one out"),
    (["--cfg"], "leave one out"),
    (["data=celeba", "data.root=missing"], "data.root"),
    (["out=taken"], "taken is a file where a directory is needed"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input(words: list[str], sentence: str, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "taken").write_text("")
    named = {word.partition("=")[0] for word in words}
    grid = [word for word in GRID if word.partition("=")[0] not in named]
    grid = [word for word in grid if not ("data=celeba" in words and word.startswith(("data=", "model", "data.scale")))]
    assert main(["sweep", "--dry-run", *words, *grid]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err
    assert len(printed.err.splitlines()) == 1
    assert [path.name for path in empty.iterdir()] == ["taken"]


@pytest.mark.parametrize("words", [["--json"], ["--devices", "2"]])
def test_its_options_are_refused_where_the_sweep_would_start(
    words: list[str], empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", *words, *GRID]) == 2
    assert f"{words[0]} is for a dry run: add --dry-run" in capsys.readouterr().err
    assert list(empty.iterdir()) == []


def test_the_rate_of_a_device_is_stored_where_it_is_given_and_names_no_run() -> None:
    without, given = tiny(), tiny(executor={"name": "here", "tflops": 2.5})
    assert "tflops" not in without.to_mapping()["executor"]
    assert given.to_mapping()["executor"]["tflops"] == 2.5
    assert type(given).from_stored(given.to_mapping()) == given
    assert type(without).from_stored(without.to_mapping()) == without
    assert given.run_id("") == without.run_id("")


def test_the_readme_shows_what_is_printed(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"(?:^    .*\n|^\n)+", README.read_text(), re.MULTILINE)
    (place,) = [place for place, block in enumerate(blocks) if "sweep --dry-run" in block]
    command, shown = blocks[place].strip(), blocks[place + 1]
    assert main(command.split()[1:]) == 0
    assert _form(shown) == _form(capsys.readouterr().out)


def _form(text: str) -> list[list[str]]:
    """The words of each line, without times and free room, which are of a machine and a moment."""
    timeless = re.sub(r"[\d.]+ (days|h|min|s|years)\b", "TIME", re.sub(r"[\d.]+ .?B free", "FREE", text))
    return [line.split() for line in timeless.strip().splitlines() if line.strip()]
