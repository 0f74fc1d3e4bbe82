"""The run directory: whole files or none, rows that survive a torn line, points that survive a flipped byte."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from diffmem.errors import InputError
from diffmem.files import DamagedWarning, write_bytes
from diffmem.store import EvalDir, RunDir, find_runs
from diffmem.tree import Tree


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "runs" / "digits-n16")


def test_write_is_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_bytes(path, b"first")
    with pytest.raises(TypeError):
        write_bytes(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_directory_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "step"
    with Tree(tmp_path).replacing(path) as folder:
        (folder / "a").write_text("1")
    with pytest.raises(KeyError), Tree(tmp_path).replacing(path) as folder:
        (folder / "b").write_text("2")
        raise KeyError
    assert [entry.name for entry in path.iterdir()] == ["a"]
    with Tree(tmp_path).replacing(path) as folder:
        (folder / "c").write_text("3")
    assert [entry.name for entry in path.iterdir()] == ["c"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["step"]


def test_rows_come_back_in_order(run: RunDir) -> None:
    for step in (0, 50, 100):
        run.primary.append_row({"step": step, "f_mem": step / 300})
    assert [row["step"] for row in run.primary.read_rows()] == [0, 50, 100]
    assert run.primary.read_rows()[2]["f_mem"] == 100 / 300


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_a_torn_last_row_is_dropped_with_a_warning(run: RunDir, cut: int) -> None:
    run.primary.append_row({"step": 0, "f_mem": 0.0})
    run.primary.append_row({"step": 50, "f_mem": 0.5})
    path = run.primary.metrics_path
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.warns(DamagedWarning, match="torn"):
        assert [row["step"] for row in run.primary.read_rows()] == [0]


def test_a_bad_row_in_the_middle_is_refused_by_line(run: RunDir) -> None:
    run.primary.append_row({"step": 0})
    with run.primary.metrics_path.open("a") as file:
        file.write('{"f_mem": 1}\n{"step": 9}\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl, line 2"):
        run.primary.read_rows()


def test_a_row_with_nan_is_never_written(run: RunDir) -> None:
    run.primary.append_row({"step": 0})
    with pytest.raises(ValueError, match="JSON"):
        run.primary.append_row({"step": 1, "f_mem": float("nan")})
    assert len(run.primary.read_rows()) == 1


def test_other_evaluations_have_a_place_of_their_own(run: RunDir) -> None:
    assert run.evaluation("abc") == EvalDir(run.path, "abc")
    assert run.evaluation("abc").path == run.path / "evals" / "abc"
    assert run.evaluation("abc").samples_path(5) != run.primary.samples_path(5)


def test_resume_points_keep_the_last_two(run: RunDir) -> None:
    for step in (10, 20, 30):
        run.write_resume(step, f"state {step}".encode())
    assert run.read_resume() == (30, b"state 30")
    assert run.read_resume(at_most=29) == (20, b"state 20")
    assert run.read_resume(at_most=19) is None
    assert sorted(path.name for path in run.resume_path(0).parent.iterdir()) == [
        "step_00000020.safetensors",
        "step_00000030.safetensors",
    ]


def test_a_flipped_byte_falls_back_to_the_point_before(run: RunDir) -> None:
    run.write_resume(10, b"ten")
    run.write_resume(20, b"twenty")
    run.resume_path(20).write_bytes(b"twentx")
    with pytest.warns(DamagedWarning, match="step_00000020"):
        assert run.read_resume() == (10, b"ten")
    run.write_resume(15, b"fifteen")  # training goes on from 10: what lay past it is no longer this run's
    assert run.read_resume() == (15, b"fifteen")
    assert run.read_resume(at_most=14) == (10, b"ten")


def test_damaged_pointers_are_dropped_with_a_warning(run: RunDir) -> None:
    run.write_resume(10, b"ten")
    run.resume_pointer_path.write_text("[{")
    with pytest.warns(DamagedWarning, match=r"resume\.json"):
        assert run.read_resume() is None


def test_a_missing_point_falls_back(run: RunDir) -> None:
    run.write_resume(10, b"ten")
    run.write_resume(20, b"twenty")
    run.resume_path(20).unlink()
    with pytest.warns(DamagedWarning):
        assert run.read_resume() == (10, b"ten")


HOLD = """
import sys
from pathlib import Path
from diffmem.store import RunDir
with RunDir(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_owns_a_run_and_its_death_frees_it(run: RunDir) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"in use by process {holder.pid}"), run.lock():
            pass
        holder.kill()
        holder.wait()
    with run.lock():
        pass


def test_leftovers_of_a_killed_writer_are_removed(run: RunDir) -> None:
    leftovers = [
        run.path / ".status.json.1",
        run.path / "checkpoints" / ".step_00000010" / "file",
        run.path / "samples" / ".step_00000010.safetensors.2",
        run.path / "evals" / "0123abcd" / "samples" / ".step_00000010.safetensors.3",
        run.path / "evals" / "0123abcd" / ".metrics.jsonl.4",
    ]
    others = [run.path / ".git" / "config", run.path / ".note.1", run.path / "samples" / ".x.2", run.path / ".lock"]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    for path in leftovers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    run.primary.append_row({"step": 0})
    with run.lock():
        pass
    assert not any(path.exists() for path in leftovers)
    assert all(path.read_text() == "mine" for path in others)
    assert run.primary.read_rows() == [{"step": 0}]


def test_status_is_empty_until_it_is_there(run: RunDir) -> None:
    assert run.read_status() == {}
    run.path.mkdir(parents=True)
    run.write_status({"status": "running"})
    assert run.read_status() == {"status": "running"}
    assert json.loads(run.status_path.read_text()) == {"status": "running"}


def test_config_round_trip_and_its_absence(run: RunDir) -> None:
    with pytest.raises(InputError, match="no run directory"):
        run.read_config()
    run.write_config({"data": {"n": 16}, "seed": 0})
    assert run.read_config() == {"data": {"n": 16}, "seed": 0}
    for text in ("[", "3"):
        run.config_path.write_text(text)
        with pytest.raises(InputError, match=r"config\.yaml"):
            run.read_config()


def test_find_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no directory"):
        find_runs(tmp_path / "missing")
    assert find_runs(tmp_path) == []
    for name in ("b", "a"):
        RunDir(tmp_path / name).write_config({})
    (tmp_path / "figures").mkdir()
    assert [run.name for run in find_runs(tmp_path)] == ["a", "b"]
    assert [run.name for run in find_runs(tmp_path / "a")] == ["a"]
