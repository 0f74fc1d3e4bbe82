"""Rows that a second process makes while a run trains on: the run ends with the bytes of one that made its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from diffmem.config.settings import Config
from diffmem.errors import InputError
from diffmem.store import RunDir, evaluation_share
from diffmem.training import background
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers.tiny import CHECKPOINTS, outcome_bytes, same_bytes, tiny

WORK = """
import json, sys
from diffmem.config.settings import Config
from diffmem.training.plan import plan
from diffmem.training.session import execute
execute(plan(Config.from_mapping(json.loads(sys.argv[1]))))
"""


def settings(out: Path, background: str | None, steps: int = 24, **groups: Any) -> Config:
    measured = {"background": background, "test_images": 16, "bootstrap": 0}
    return tiny(out, train={"steps": steps, "save_seconds": 0.2}, eval={**measured, **groups.pop("eval", {})}, **groups)


@pytest.mark.slow
def test_a_run_that_has_trained_past_its_end_is_cut_back_to_it(tmp_path: Path) -> None:
    """Every sample counts as a copy, so that the third row ends the run, before whose making it has trained on."""
    ended: dict[str, Any] = {"eval": {"k": 1.0}, "stop": {"f_mem": 0.5, "after": 2}, "steps": 300}
    plans = [plan(settings(tmp_path / str(kind), kind, **ended)) for kind in (None, "auto")]
    outcomes = [execute(planned) for planned in plans]
    assert outcomes[0] == outcomes[1]
    assert outcomes[0].why == "f_mem passed stop.f_mem=0.5 at step 0"
    here, there = (planned.run for planned in plans)
    assert same_bytes(outcome_bytes(there.path), outcome_bytes(here.path))
    assert there.resume_step() == 4
    assert [step for step, _, _ in there.timings()] == [step for step, _, _ in here.timings()] == [0, 2, 4]
    assert there.read_status()["step"] == 4
    assert 0 < evaluation_share(there.timings()) < 1
    assert execute(plans[1]).worked is False


@pytest.mark.slow
def test_a_run_that_is_killed_with_rows_to_come_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    alone = plan(settings(tmp_path / "alone", None))
    execute(alone)
    config = settings(tmp_path / "killed", "auto")
    run = plan(config).run
    with subprocess.Popen([sys.executable, "-c", WORK, json.dumps(config.to_mapping())]) as process:
        while run.resume_step() < 24:
            time.sleep(0.02)
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
    assert len(run.primary.read_rows()) < len(CHECKPOINTS)
    assert execute(plan(settings(tmp_path / "killed", None))).status == "complete"
    assert same_bytes(outcome_bytes(run.path), outcome_bytes(alone.run.path))


@pytest.mark.slow
def test_the_end_of_the_second_process_is_an_error_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "__name__", "diffmem.version")  # which leaves at once
    planned = plan(settings(tmp_path, "auto", steps=30))
    with pytest.raises(RuntimeError, match=r"the process that makes the rows \(eval.background\) ended with code 0"):
        execute(planned)
    assert planned.run.read_status()["status"] == "failed"


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"eval.background=cuda:7 is asked for .* use eval.background=auto"):
        plan(settings(tmp_path, "cuda:7"))
    assert not list(tmp_path.iterdir())


def test_what_was_made_past_a_step_is_cut(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    with run.lock():
        for step in (0, 2, 4, 6):
            run.write_resume(step, b"state", also={0, 2})
            with run.replacing_checkpoint(step) as folder:
                (folder / "file").write_text("weights")
            run.append_timing(step, 3.0, 1.0)
        assert [point["step"] for point in json.loads(run.resume_pointer_path.read_text())] == [0, 2, 4, 6]
        assert run.timing_path.read_text().splitlines()[-1] == "6,3.000,1.000,0.250"
        (run.path / "checkpoints" / "notes.txt").write_text("a user's")
        run.cut_after(2)
        assert run.read_resume() == (2, b"state")
    assert run.checkpoint_steps() == [0, 2]
    assert [step for step, _, _ in run.timings()] == [0, 2]
    assert sorted(path.name for path in (run.path / "resume").iterdir()) == [
        "step_00000000.safetensors",
        "step_00000002.safetensors",
    ]
    assert (run.path / "checkpoints" / "notes.txt").exists()


def test_a_timing_file_without_the_share_stays_as_it_was_begun(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    run.timing_path.write_text("step,train_seconds,evaluate_seconds\n0,1.000,3.000\n")
    run.append_timing(2, 3.0, 1.0)
    assert run.timing_path.read_text().splitlines()[-1] == "2,3.000,1.000"
    assert evaluation_share(run.timings()) == 0.5


def test_rows_are_made_by_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffmem.eval_dir.PATIENCE_SECONDS", 0.0)
    folder = RunDir(tmp_path).primary
    with folder.lock_rows(), pytest.raises(InputError, match="makes these rows"), folder.lock_rows():
        pass
    with folder.lock_rows():
        pass
