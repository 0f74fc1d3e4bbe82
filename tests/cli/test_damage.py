"""A run directory that was damaged or has links planted in it: nothing outside changes, what was lost is made again."""

import contextlib
import json
import os
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from diffmem.cli.main import main
from diffmem.errors import InputError
from diffmem.store import RunDir
from diffmem.training.rows import Rows
from diffmem.training.signals import Interrupted
from tests.helpers.tiny import CHECKPOINTS, OVERRIDES, outcome_bytes

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::diffmem.files.DamagedWarning")]

SHORT = ["train.steps=6"]
VERBS = {
    "train": lambda run: ["train", *OVERRIDES, "train.steps=7", f"out={run.parent}"],
    "evaluate": lambda run: ["evaluate", str(run), "eval.k=0.4"],
    "fit": lambda run: ["fit", str(run.parent)],
    "report": lambda run: ["report", str(run.parent)],
    "advise": lambda run: ["advise", str(run)],
    "compare": lambda run: ["compare", f"{run}@2", "--samples", "8", "--device", "cpu"],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one tiny run, trained, measured under other settings, and compared."""
    folder = tmp_path_factory.mktemp("trained") / "runs"
    assert main(["train", *OVERRIDES, *SHORT, f"out={folder}"]) == 0
    (run,) = folder.iterdir()
    assert main(["evaluate", str(run), "eval.k=0.5"]) == 0
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> RunDir:
    """A copy of it that a test may damage."""
    shutil.copytree(trained.parent, tmp_path / "runs")
    return RunDir(tmp_path / "runs" / trained.name)


def train(run: RunDir, *more: str) -> int:
    return main(["train", *OVERRIDES, *SHORT, f"out={run.path.parent}", *more])


def same_bytes(run: RunDir, trained: Path) -> bool:
    return outcome_bytes(run.path) == outcome_bytes(trained)


# what is in a run directory, one of each kind: files and folders
PLACES = [
    *("config.yaml", "meta.json", "status.json", "metrics.jsonl", "timing.csv", "lock", "resume.json", "extra"),
    *("resume", "resume/step_00000006.safetensors", "checkpoints", "checkpoints/step_00000002", "samples", "evals"),
    *("checkpoints/step_00000002/config.json", "samples/step_00000002.safetensors", "evals/{}", "evals/{}/eval.yaml"),
    *("evals/{}/metrics.jsonl", "evals/{}/samples", "checkpoints/.step_00000002", ".status.json.1", "figures"),
]
FOREIGN = [name for name in PLACES if "/." in f"/{name}"] + [
    "extra",
    "figures",
    "checkpoints/step_00000002/config.json",
]


READ = [  # for the verbs that write nothing into a run: what no reading needs at once, and each of the others
    [name for name in PLACES if name.partition("/")[0] not in ("config.yaml", "meta.json", "metrics.jsonl", "samples")],
    *(["config.yaml"], ["meta.json"], ["metrics.jsonl"], ["samples"], ["samples/step_00000002.safetensors"]),
]


@pytest.mark.long
@pytest.mark.parametrize("verb", VERBS)
def test_a_link_in_the_place_of_anything_changes_nothing_outside(
    trained: Path, tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refusal says so; where a link does not stand in the way, the verb may go on.

    Links of `train` lead to a file or a folder, as what they replace; those of `evaluate` to nothing.
    """
    writes = verb in ("train", "evaluate")
    for number, names in enumerate([[name] for name in PLACES] if writes else READ):
        runs, victim = tmp_path / str(number) / "runs", tmp_path / str(number) / "victim"
        shutil.copytree(trained.parent, runs)
        (victim / "folder" / ".ssh").mkdir(parents=True)
        for file in ("file", "folder/.bashrc", "folder/.ssh/key", "folder/step_00000004.safetensors"):
            (victim / file).write_text("mine\n")
        for name in names:
            place = name.format(*os.listdir(trained / "evals"))
            alike = "file" if (trained / place).is_file() else "folder"
            plant(runs / trained.name / place, victim / ("nothing" if verb == "evaluate" else alike))
        before = tree(victim)
        code = main(VERBS[verb](runs / trained.name))
        assert code in (0, 1, 2), names
        assert tree(victim) == before, names
        said = capsys.readouterr().err
        if writes and not set(names) & {*FOREIGN, "config.yaml"}:
            assert code == 2, (names, said)
            assert "is a symbolic link" in said or "meta.json" in said, (names, said)
        shutil.rmtree(tmp_path / str(number))


def plant(place: Path, target: Path) -> None:
    """A link in the place of what stands at `place`, unless something above it is one already."""
    if place.parent.is_symlink() or not place.parent.is_dir():
        return
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(target)


def tree(folder: Path) -> dict[str, str | None]:
    return {str(path.relative_to(folder)): path.read_text() if path.is_file() else None for path in folder.rglob("*")}


def test_what_others_keep_in_a_run_directory_stays(run: RunDir) -> None:
    for name in (".git/config", "resume/mine.txt", "notes/.draft", ".note.3"):
        (run.path / name).parent.mkdir(exist_ok=True)
        (run.path / name).write_text("mine")
    assert train(run, "train.steps=7") == 0
    assert all((run.path / name).read_text() == "mine" for name in (".git/config", "resume/mine.txt", "notes/.draft"))
    assert (run.path / ".note.3").read_text() == "mine"


@pytest.mark.parametrize("verb", ["train", "evaluate"])
@pytest.mark.parametrize("cut", [1, 40])
def test_a_torn_last_row_is_cut_off_and_made_again(run: RunDir, trained: Path, verb: str, cut: int) -> None:
    path = run.primary.metrics_path
    os.truncate(path, path.stat().st_size - cut)
    assert (train(run) if verb == "train" else main(["evaluate", str(run.path)])) == 0
    assert same_bytes(run, trained)


def test_a_start_that_came_to_no_row_fixes_no_evaluation_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise Interrupted

    command = ["train", *OVERRIDES, "train.steps=2", f"out={tmp_path}"]
    with monkeypatch.context() as patched:
        patched.setattr(Rows, "add", interrupted)
        assert main([*command, "eval.k=0.25"]) == 130
    assert main(command) == 0
    (path,) = tmp_path.iterdir()
    assert RunDir(path).read_config()["eval"]["k"] == 1 / 3
    assert len(RunDir(path).primary.read_rows()) == 2
    assert not (path / "evals").exists()
    assert main([*command, "eval.k=0.25"]) == 0  # and now they are fixed
    assert RunDir(path).read_config()["eval"]["k"] == 1 / 3
    assert len(list((path / "evals").iterdir())) == 1
    assert main(["fit", str(tmp_path)]) == 0


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """No file may grow past 3,000 bytes: a checkpoint's weights do not fit, as on a full disk."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_checkpoint_that_the_disk_does_not_take_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with small_files():
        code = main(["train", *OVERRIDES, f"out={tmp_path}"])
    assert code == 1
    assert "File too large" in capsys.readouterr().err
    (path,) = tmp_path.iterdir()
    assert RunDir(path).read_status()["status"] == "failed"
    assert RunDir(path).checkpoint_steps() == []


@pytest.mark.parametrize("damage", ["cut", "other", "gone", "no step"])
def test_damaged_samples_are_named_left_out_and_made_again(
    run: RunDir, trained: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run.primary.samples_path(4)
    if damage == "cut":
        os.truncate(path, path.stat().st_size - 40)
    elif damage == "other":
        path.write_bytes(run.evaluation(next((run.path / "evals").iterdir()).name).samples_path(0).read_bytes()[:-8])
    elif damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"")
    for verb in ("fit", "report", "advise"):
        assert main([verb, str(run.path if verb == "advise" else run.path.parent)]) == 0
        assert damage == "gone" or verb == "advise" or "step_00000004" in capsys.readouterr().err
    assert main(["evaluate", str(run.path)]) == 0
    assert "1 rows computed" in capsys.readouterr().out
    assert same_bytes(run, trained)
    path.write_bytes(b"x")
    assert train(run) == 0
    assert same_bytes(run, trained)


def test_a_checkpoint_gone_with_its_row_is_made_again(run: RunDir, trained: Path) -> None:
    shutil.rmtree(run.checkpoint_path(4))
    rows = run.primary.metrics_path.read_bytes().splitlines(keepends=True)
    run.primary.metrics_path.write_bytes(b"".join(row for row in rows if json.loads(row)["step"] != 4))
    assert train(run) == 0
    assert same_bytes(run, trained)


def test_a_checkpoint_cleared_away_beside_its_row_is_left_so(run: RunDir) -> None:
    shutil.rmtree(run.checkpoint_path(4))
    assert train(run) == 0
    assert run.checkpoint_steps() == [step for step in CHECKPOINTS if step <= 6 and step != 4]


@pytest.mark.parametrize("verb", VERBS)
def test_another_format_is_refused_by_every_verb(run: RunDir, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    run.write_meta({**run.read_meta(), "format": 2})
    before = tree_bytes(run.path.parent)
    assert main(VERBS[verb](run.path)) == 2
    assert "was written in format 2" in capsys.readouterr().err
    assert tree_bytes(run.path.parent) == before


def test_a_pipe_in_the_place_of_a_checkpoints_note_is_not_waited_for(
    run: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    note = run.checkpoint_path(2) / "diffmem.json"
    note.unlink()
    os.mkfifo(note)
    assert main(VERBS["compare"](run.path)) == 2
    assert f"{note} is no regular file" in capsys.readouterr().err


def tree_bytes(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_copy_of_a_run_counts_once(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(run.path, run.path.with_name(run.name + "-COPY"))
    assert main(["fit", str(run.path.parent)]) == 0
    assert f"{run.name}-COPY is a copy of {run.name}" in capsys.readouterr().err
    assert len((run.path.parent / "timescales.csv").read_text().splitlines()) == 2
    assert main(["advise", f"{run.path}-COPY"]) == 0


def test_a_run_without_its_checksum_shows_no_image(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    meta = run.read_meta()
    run.write_meta({**meta, "data": {}})
    assert main(VERBS["compare"](run.path)) == 2
    assert main(["report", str(run.path.parent)]) == 0
    assert "no pictures" in capsys.readouterr().err
    run.write_meta({**meta, "data": {**meta["data"], "sha256": "0" * 64}})
    with pytest.raises(InputError, match="its checksum differs"):
        __import__("diffmem").load_run(run.path).train_images()
