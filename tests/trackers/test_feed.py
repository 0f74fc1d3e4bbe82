"""What is sent is what the runs wrote, each point once, whatever happens to the tracker or to a row."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from diffmem.cli.main import main
from diffmem.config.tracker import TrackioTracker
from diffmem.records import SampleSheet
from diffmem.store import RunDir
from diffmem.trackers import base, feed
from diffmem.trackers.base import Subject
from diffmem.trackers.feed import Feed, follow
from diffmem.trackers.reading import montage, run_subject
from tests.helpers.tiny import OVERRIDES
from tests.helpers.tracked import Memory, expected, only_run

OPTIONS = TrackioTracker(project="diffmem")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> type[Memory]:
    """An empty back end in the place of the four."""

    class Fresh(Memory):
        pass

    Fresh.store = {}

    def start(_: object, subject: Subject) -> Memory:
        return Fresh(subject)

    monkeypatch.setattr(feed, "start", start)
    return Fresh


@pytest.fixture
def folder(young: Path, tmp_path: Path) -> Path:
    """A folder with the young run, to be changed."""
    return Path(shutil.copytree(young, tmp_path / "runs"))


def send(folder: Path) -> list[str]:
    """One call for all runs in `folder`; the sentences it said."""
    said: list[str] = []
    sending = Feed(folder, OPTIONS, said.append)
    sending.poll()
    sending.close()
    return said


def held(memory: type[Memory]) -> dict[int, dict[str, float]]:
    """What the back end has of the one run, each step once."""
    (points,) = memory.store.values()
    steps = [step for step, _, _ in points]
    assert len(set(steps)) == len(steps)
    return {step: values for step, values, _ in points}


def test_every_row_is_sent_once_with_its_samples(grown: Path, memory: type[Memory]) -> None:
    assert send(grown) == send(grown) == []
    assert held(memory) == expected(only_run(grown))
    (points,) = memory.store.values()
    for _, _, images in points:
        assert images["samples"].shape == (2 * (64 + 8), 5 * (64 + 8), 3)  # five samples are kept; 8x8, enlarged


def test_a_run_that_goes_on_is_the_same_run(folder: Path, grown: Path, memory: type[Memory]) -> None:
    send(folder)
    assert max(held(memory)) == 6
    shutil.copytree(grown, folder, dirs_exist_ok=True)
    send(folder)
    assert held(memory) == expected(only_run(grown))


def test_rows_cut_and_written_again_are_not_doubled(folder: Path, memory: type[Memory]) -> None:
    send(folder)
    metrics = only_run(folder) / "metrics.jsonl"
    whole = metrics.read_bytes()
    for lines in (whole.splitlines(keepends=True)[:2], [whole]):
        metrics.write_bytes(b"".join(lines))
        send(folder)
    assert held(memory) == expected(only_run(folder))


def test_a_row_that_is_being_written_waits(folder: Path, memory: type[Memory]) -> None:
    metrics = only_run(folder) / "metrics.jsonl"
    whole = metrics.read_bytes()
    metrics.write_bytes(whole[:-20])
    assert send(folder) == []
    assert max(held(memory)) == 4
    metrics.write_bytes(whole)
    send(folder)
    assert held(memory) == expected(only_run(folder))


def test_a_dead_tracker_gets_a_sentence_and_later_all(folder: Path, memory: type[Memory]) -> None:
    said: list[str] = []
    sending = Feed(folder, OPTIONS, said.append)
    memory.down = True
    sending.poll()
    sending.poll()
    assert sending.failing
    assert said == [
        "tracker=trackio does not take what the runs write (nobody answers). The runs go on, and what is missing is "
        f"sent when it does, or by `diffmem track {folder} tracker=trackio tracker.project=diffmem`."
    ]
    memory.down = False
    sending.poll()
    assert not sending.failing
    assert held(memory) == expected(only_run(folder))


def test_a_tracker_that_dies_between_two_points(
    folder: Path, memory: type[Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dying(memory):  # type: ignore[valid-type, misc]
        def _check(self) -> None:
            if sum(map(len, self.store.values())) == 2 and not memory.down:
                memory.down = True
                raise ConnectionError("gone")

    original = feed.start
    feed.start = lambda options, subject: Dying(subject)  # the fixture puts the real one back
    send(folder)
    assert len(held(memory)) == 2
    feed.start, memory.down = original, False
    send(folder)
    assert held(memory) == expected(only_run(folder))


def test_a_damaged_run_is_named_and_the_others_are_sent(folder: Path, memory: type[Memory]) -> None:
    run = only_run(folder)
    other = Path(shutil.copytree(run, folder / "digits-a-copy"))
    (run / "metrics.jsonl").write_text('{"step": 0, "f_mem": NaN}\n')
    (sentence,) = send(folder)
    assert "line 1, is no row of metrics" in sentence
    assert held(memory) == expected(other)


def test_figures_are_sent_once_for_their_rows(folder: Path, memory: type[Memory]) -> None:
    (folder / "figures").mkdir()
    Pillow.fromarray(np.full((3, 5), 7, dtype=np.uint8)).save(folder / "figures" / "times_vs_n.png")
    send(folder)
    assert len(memory.store) == 1, "figures without the table that they were drawn from"
    (folder / "metrics.csv").write_text("step\n0\n2\n")
    send(folder)
    send(folder)
    (key,) = [key for key in memory.store if key.startswith("runs-")]
    ((step, values, images),) = memory.store[key]
    assert (step, values) == (2, {"rows": 2.0})
    assert images["times_vs_n"].tolist() == np.full((3, 5, 3), 7).tolist()


def test_the_key_is_of_training_and_evaluation(folder: Path) -> None:
    run = RunDir(only_run(folder))
    before = run_subject(run)
    settings = run.read_config()
    settings["train"]["steps"] = 1000
    run.write_config(settings)
    assert run_subject(run) == before
    settings["eval"]["samples"] = 256
    run.write_config(settings)
    assert run_subject(run).key != before.key
    assert run_subject(run).key.startswith(f"{run.name}-")


def test_a_montage_frames_copies() -> None:
    sheet = SampleSheet("run", 8, 1, np.zeros((2, 1, 4, 4)), np.ones((2, 1, 4, 4)), np.array([0.1, 0.9]))
    image = montage(sheet)
    assert image.shape == (2 * 72, 2 * 72, 3)
    assert image[0, 0].tolist() == [213, 94, 0]  # a copy
    assert image[0, 72].tolist() == [255, 255, 255]  # none
    assert image[36, 36].tolist() == [0, 0, 0]
    assert image[72 + 36, 36].tolist() == [255, 255, 255]


def test_following_ends_with_the_runs(folder: Path, grown: Path, memory: type[Memory]) -> None:
    moments = iter([False, False, True])

    def ended(_: float) -> bool:
        over = next(moments)
        if over:
            shutil.copytree(grown, folder, dirs_exist_ok=True)  # the last rows come while it waits
        return over

    follow(Feed(folder, OPTIONS, pytest.fail), ended)
    assert held(memory) == expected(only_run(grown))


def test_a_run_is_over_when_nobody_lives(folder: Path) -> None:
    sending, run = Feed(folder, OPTIONS, pytest.fail), RunDir(only_run(folder))
    assert sending.over
    run.write_status({"status": "running", "heartbeat": 5e9})
    assert not sending.over
    run.write_status({"status": "running", "heartbeat": 1e9})
    assert sending.over


@pytest.mark.parametrize("verb", ["train", "sweep"])
@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow", "trackio"])
def test_a_missing_package_is_found_before_training(
    verb: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(base, "find_spec", lambda _: None)
    assert main([verb, *OVERRIDES, f"out={tmp_path / 'runs'}", f"tracker={name}"]) == 2
    assert "pip install 'diffmem[trackers]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "no tracker is named"),
        (["tracker=none"], "no tracker is named"),
        (["data.n=3"], "only the tracker and its options"),
        (["tracker=tensorboard", "tracker.folder=file/below"], "tracker.folder=file/below"),
    ],
)
def test_bad_input_of_track(
    words: list[str], sentence: str, young: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(base, "find_spec", lambda _: object())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main(["track", str(young), *words]) == 2
    assert sentence in capsys.readouterr().err


def test_a_folder_without_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["track", str(tmp_path), "tracker=tensorboard"]) == 2
    assert "holds no run" in capsys.readouterr().err
