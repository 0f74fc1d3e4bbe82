"""Where runs stand, read from directories that others write, kill or leave half written; and how it is shown."""

import io
import json
import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from diffmem import lease
from diffmem.cli.main import main
from diffmem.config.settings import Config
from diffmem.errors import InputError
from diffmem.executors.base import work
from diffmem.lease import Entry
from diffmem.store import RunDir
from diffmem.sweep import progress
from diffmem.sweep.grid import plan_grid, run_all
from diffmem.sweep.progress import Progress
from diffmem.sweep.state import RunState, States, clock, find, seconds_left, summarize, waiting
from tests.helpers.tiny import tiny

HOST = lease.socket.gethostname()
HERE = Entry(HOST, lease.boot(), os.getpid(), 0.0, 30.0, released=False, deaths=0)
NO_PROCESS = 2**22 + 1  # past the largest number that Linux gives one


def put(folder: Path, status: dict[str, Any], entry: Entry | None = HERE, **groups: Any) -> RunDir:
    """A run directory as its process would have written it."""
    config = tiny(folder.parent, **groups)
    run = RunDir(folder)
    run.write_config(config.to_mapping())
    run.write_status(status)
    if entry is not None:
        run._tree.write(run.lease_folder / "00000001", json.dumps(asdict(entry)).encode())
    return run


def running(silent: float = 0.0, **changed: Any) -> dict[str, Any]:
    """The status of a run whose last sign of life is `silent` seconds old."""
    alive = {
        "status": "running",
        "pid": os.getpid(),
        "host": HOST,
        "heartbeat": time.time() - silent,
        "phase": "training",
    }
    return {**alive, "device": "cpu", "step": 12, "steps": 24, "steps_per_second": 2.0, "loss": 0.5, **changed}


def read(run: RunDir) -> RunState:
    return States([run]).read()[0]


def test_a_trained_run_says_how_it_ended(tmp_path: Path) -> None:
    config = tiny(tmp_path, train={"steps": 2})
    work(config)
    (run,) = find(tmp_path)
    state = read(run)
    assert (state.word, state.step, state.steps, state.host, state.device) == ("complete", 2, 2, HOST, "cpu")
    assert (state.why, state.retries, state.group) == ("trained to step 2", 0, "done")
    assert state.f_mem == run.primary.read_rows()[-1]["f_mem"]
    timings = run.timings()
    assert [step for step, _, _ in timings] == [0, 2]
    assert state.seconds_per_step == pytest.approx(sum(train for _, train, _ in timings) / 2)
    assert state.seconds_per_checkpoint == timings[1][2]
    assert find(run.path) == [run]


@pytest.mark.parametrize(
    ("status", "entry", "word", "why"),
    [
        ({"silent": 0}, HERE, "running", ""),
        ({"silent": 0}, replace(HERE, process=NO_PROCESS), "lost", "its process died"),
        ({"silent": 0}, replace(HERE, process=NO_PROCESS, host="node7", boot="another"), "running", ""),
        ({"silent": 80}, replace(HERE, host="node7", boot="another"), "running", ""),
        ({"silent": 800}, replace(HERE, host="node7", boot="another"), "lost", "no sign of life for 13:"),
        ({"silent": 80}, None, "running", ""),
        ({"silent": 800}, None, "lost", "no sign of life for 13:"),
        ({"status": "failed", "why": "OSError: disk full", "ended": 1.0}, HERE, "failed", "OSError: disk full"),
        ({"status": "queued", "steps": 24}, None, "waiting", ""),
    ],
)
def test_the_word_for_a_run(tmp_path: Path, status: dict[str, Any], entry: Entry | None, word: str, why: str) -> None:
    state = read(put(tmp_path / "run", running(**status) if "silent" in status else status, entry))
    assert state.word == word
    assert state.why.startswith(why)
    assert bool(state.why) == bool(why)


def test_time_left_counts_steps_and_the_checkpoints_to_come(tmp_path: Path) -> None:
    """At 2 steps/s, 12 of 24 steps are left, and the checkpoints at 20 and 24, which have taken 3 s each."""
    run = put(tmp_path / "run", running())
    for step, evaluate_seconds in ((0, 9.0), (2, 2.0), (4, 4.0)):
        run.append_timing(step, 1.0, evaluate_seconds)
    assert seconds_left(read(run)) == pytest.approx(12 / 2 + 2 * 3)
    with run.timing_path.open("a") as file:
        file.write("6,1.0")  # torn
    assert seconds_left(read(run)) == pytest.approx(12 / 2 + 2 * 3)


def test_the_sum_lends_waiting_runs_the_speed_of_the_others(tmp_path: Path) -> None:
    """A step of twice the batch takes twice as long; two runs at once share what is left."""
    here = put(tmp_path / "a", running(), train={"batch": 4})
    there = put(tmp_path / "b", running(step=0), train={"batch": 4})
    for run in (here, there):
        for step in (0, 2):
            run.append_timing(step, 1.0, 3.0)
    queued = RunDir(tmp_path / "c")
    config = tiny(tmp_path, train={"batch": 8})
    queued.write_status(waiting(config, RunState("c", "unknown")))
    states = States([here, there, queued]).read()
    summary = summarize(states)
    left = [12 / 2 + 2 * 3, 24 / 2 + 6 * 3, 24 / 1 + 7 * 3]
    assert summary.seconds_left == pytest.approx(max(sum(left) / 2, max(left)))
    assert summary.counts == {"done": 0, "running": 2, "waiting": 1, "failed": 0}
    assert not summary.at_most
    assert progress.overall(states) == f"3 runs: 2 running, 1 waiting; about {clock(summary.seconds_left or 0)} left"


def test_runs_that_may_stop_early_have_a_bound(tmp_path: Path) -> None:
    run = put(tmp_path / "run", running(), stop={"f_mem": 0.1})
    other = put(tmp_path / "run2", running(), stop={"f_mem": 0.1})
    assert "<0:06" in progress.table(States([run]).read())[1]
    assert "at most" in progress.overall(States([run, other]).read())


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"status": 3}', '{"status": "running", "heartbeat": "x"}'])
def test_what_is_half_written_is_read_without_a_word(tmp_path: Path, content: str) -> None:
    """Half of every file that a run writes again and again: what it says is unknown, and nothing is raised."""
    run = put(tmp_path / "run", running())
    run.status_path.write_text(content)
    for path in (run.primary.metrics_path, run.timing_path, run.lease_folder / "00000001"):
        path.write_text('{"step": 0, "f_mem"')
    for path in (run.config_path, run.resume_pointer_path, run.meta_path):
        path.write_text("{")
    assert read(run).word in ("unknown", "lost")
    assert progress.table(States([run]).read())[1].startswith("run")


def test_rows_speak_where_the_status_says_nothing_of_f_mem(tmp_path: Path) -> None:
    run = put(tmp_path / "run", {"status": "complete", "ended": 1.0})
    run.primary.append_row({"step": 0, "f_mem": 0.25})
    with run.primary.metrics_path.open("a") as file:
        file.write('{"step": 2, "f_m')
    assert read(run).f_mem == 0.25


def test_a_run_that_ended_is_read_once_and_again_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = put(tmp_path / "run", {"status": "complete", "ended": 1.0})
    states = States([run])
    assert states.read()[0].word == "complete"
    monkeypatch.setattr(RunDir, "timings", lambda run: pytest.fail("it is read again"))
    assert states.read()[0].word == "complete"
    monkeypatch.undo()
    run.write_status(running())
    os.utime(run.status_path, ns=(1, 1))
    assert states.read()[0].word == "running"


def shown(runs: list[RunDir], terminal: bool = False, height: int = 24) -> tuple[Progress, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=200, height=height, color_system=None)
    return Progress(runs, console), out


def settle(progress: Progress, *, last: bool = False) -> None:
    progress._print_news(last=last)


def test_a_log_has_a_line_for_what_is_new_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: moment[0])
    over = [put(tmp_path / f"over{i}", {"status": "complete", "ended": 1.0}) for i in range(3)]
    run = put(tmp_path / "run", {"status": "queued", "steps": 24}, None)
    watch, out = shown([*over, run])
    watch._shown = {state.name: state.word for state in watch._states.read()}
    for old in over:  # looked at again by a sweep that has nothing to do
        old.write_status(running(phase="starting"))
    settle(watch)
    for old in over:
        old.write_status({"status": "complete", "ended": 2.0, "why": "trained to step 24"})
    run.write_status(running(phase="starting", step=0))
    settle(watch)
    assert out.getvalue() == ""
    for _ in range(300):  # two hours without anything new but the time
        moment[0] += 24.0
        run.write_status(running(step=0, steps_per_second=None))
        settle(watch)
    run.write_status({"status": "failed", "why": "OSError: disk full", "ended": 3.0, "step": 0})
    settle(watch, last=True)
    lines = out.getvalue().splitlines()
    assert lines == [
        "run 4 of 4  run  training  step 0/24  loss 0.5000",
        "4 runs: 3 done, 1 running",
        "run 4 of 4  run  failed  step 0/24  OSError: disk full",
        "4 runs: 3 done, 1 failed",
    ]


def test_lines_on_all_runs_come_ever_more_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: moment[0])
    runs = [put(tmp_path / f"run{i}", running(step=0, steps=10**9)) for i in range(2)]
    watch, out = shown(runs)
    watch._shown = {state.name: state.word for state in watch._states.read()}
    for step in range(300):  # a day, with a new time left at every look
        moment[0] += 288.0
        for run in runs:
            run.write_status(running(step=step * 1000, steps=10**9))
        settle(watch)
    assert 50 < len(out.getvalue().splitlines()) < 150


def test_a_terminal_shows_what_there_is_room_for(tmp_path: Path) -> None:
    states = [RunState(f"run{i}", "waiting" if i % 3 else "complete") for i in range(300)]
    states[200] = RunState("busy", "running", phase="training", step=3, steps=9)
    states[250] = RunState("broken", "failed", why="OSError: disk full")
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=24)
    lines = progress._screen(states, console).plain.splitlines()
    assert len(lines) <= 24
    assert lines[0] == "300 runs: 100 done, 1 running, 198 waiting, 1 failed"
    assert lines[1].split()[:6] == ["run", "201", "of", "300", "busy", "training"]
    assert lines[2].split()[:6] == ["run", "251", "of", "300", "broken", "failed"]
    assert lines[-1] == "and 279 more: 100 done, 179 waiting"


def test_status_says_what_to_type_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "done", {"status": "complete", "ended": 1.0, "step": 24, "f_mem": 0.5})
    assert main(["status", str(tmp_path)]) == 0
    assert f"1 runs: 1 done. All are over: `diffmem report {tmp_path}`" in capsys.readouterr().out
    put(tmp_path / "broken", {"status": "failed", "why": "OSError: disk full"}, replace(HERE, deaths=3))
    assert main(["status", str(tmp_path), "--watch"]) == 0  # nothing is left to wait for
    printed = capsys.readouterr().out
    head, broken, done, *_ = printed.splitlines()
    assert head.split() == ["run", "state", "step", "f_mem", "retries", "why"]
    assert broken.split() == ["broken", "failed", "3", "OSError:", "disk", "full"]
    assert done.split() == ["done", "complete", "24/24", "0.500"]
    assert "tries again what failed" in printed
    put(tmp_path / "queued", {"status": "queued"}, None)
    main(["status", str(tmp_path)])
    assert "the command that began them goes on" in capsys.readouterr().out
    put(tmp_path / "busy", running())
    main(["status", str(tmp_path)])
    assert "--watch" in capsys.readouterr().out


def test_a_folder_without_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, words in ((tmp_path, "holds no runs"), (tmp_path / "missing", "is no directory")):
        with pytest.raises(InputError, match=words):
            find(folder)
        assert main(["status", str(folder)]) == 2
        assert words in capsys.readouterr().err


def test_a_sweep_shows_in_its_log_what_its_runs_came_to(tmp_path: Path) -> None:
    plans = plan_grid([tiny(tmp_path, data={"n": n}, train={"steps": 2}) for n in (8, 12)])
    for wanted in (
        ["run 1 of 2", "run 2 of 2", "2 runs: 2 done"],
        ["2 runs: 2 done"],
    ):
        watch, out = shown([planned.run for planned in plans])
        run_all(plans, watch)
        ends = [line for line in out.getvalue().splitlines() if "training" not in line and "running" not in line]
        assert [line[: len(words)] for line, words in zip(ends, wanted, strict=False)] == wanted[: len(ends)]
        assert "starting" not in out.getvalue()


def test_queued_runs_say_what_is_left_of_them(tmp_path: Path) -> None:
    config: Config = tiny(tmp_path)
    status = waiting(config, RunState("run", "interrupted", step=6, f_mem=0.25))
    assert status == {
        "status": "queued",
        "step": 6,
        "f_mem": 0.25,
        "steps": 24,
        "step_cost": 4.0 * 64 * 16,
        "checkpoints_left": 3,
    }


@pytest.mark.parametrize(("seconds", "words"), [(0, "0:00"), (59.6, "1:00"), (3725, "1:02:05"), (90000, "1 d 1:00:00")])
def test_clock(seconds: float, words: str) -> None:
    assert clock(seconds) == words
