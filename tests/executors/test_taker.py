"""Workers that take open runs from a sweep's folder, in this process and killed beside it, without any engine."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diffmem.executors import taker
from diffmem.executors.ended import RunFailed, WorkerDied
from diffmem.executors.open_runs import OpenRuns
from diffmem.executors.taker import work_off
from diffmem.store import RunDir
from diffmem.training.plan import Plan, plan
from diffmem.training.session import Outcome
from diffmem.training.signals import Interrupts
from tests.helpers.engines import quick


@pytest.fixture(autouse=True)
def kept_cwd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # a worker goes where the sweep was


def opened(out: Path, *seeds: int, retries: int = 1, **train: Any) -> tuple[OpenRuns, list[str], list[Plan]]:
    runs, plans = OpenRuns(out / "slurm"), [plan(quick(out, {"name": "here"}, seed, **train)) for seed in seeds]
    names = []
    for order, planned in enumerate(plans):
        names.append(runs.name(order, planned))
        runs.put(names[-1], planned, retries)
    return runs, names, plans


def end(runs: OpenRuns, name: str) -> Outcome | None:
    entry = runs.read(name, "over")
    assert entry is not None
    return runs.end(name, entry)


def test_one_worker_sees_all_runs_through_in_order_also_with_relative_paths() -> None:
    runs, names, plans = opened(Path("runs"), 2, 0, 1)
    assert work_off(runs.folder, "w") is None
    assert (runs.open(), runs.over()) == ([], names)
    assert [end(runs, name) for name in names] == [Outcome("complete", "trained to step 24")] * 3
    ended = [planned.run.read_status()["ended"] for planned in plans]
    assert ended == sorted(ended)


def test_a_failing_run_says_why_and_stops_no_other(tmp_path: Path) -> None:
    runs, names, plans = opened(tmp_path, 0, 1)
    (plans[0].run.path / "metrics.jsonl").mkdir(parents=True)
    work_off(runs.folder, "w")
    with pytest.raises(RunFailed, match="no regular file"):
        end(runs, names[0])
    assert end(runs, names[1]) is not None


def test_a_run_in_use_is_left_to_its_owner_and_stays_open(tmp_path: Path) -> None:
    runs, names, plans = opened(tmp_path, 0, 1)
    with plans[0].run.lock():
        work_off(runs.folder, "w")
    assert (runs.open(), runs.over()) == ([names[0]], [names[1]])


def test_what_is_over_stands_until_other_settings_are_asked_for(tmp_path: Path) -> None:
    runs, [name], [planned] = opened(tmp_path, 0)
    work_off(runs.folder, "w")
    runs.put(name, planned, retries=1)
    assert (runs.open(), runs.over()) == ([], [name])
    longer = plan(quick(tmp_path, {"name": "here"}, 0, steps=30))
    assert runs.name(7, longer) == name
    runs.put(name, longer, retries=1)
    assert (runs.open(), runs.over()) == ([name], [])
    work_off(runs.folder, "w")
    assert end(runs, name) == Outcome("complete", "trained to step 30")


def test_a_run_that_ended_before_its_worker_could_say_so_is_not_begun_again(tmp_path: Path) -> None:
    runs, [name], [planned] = opened(tmp_path, 0)
    entry = runs.read(name)
    assert entry is not None
    work_off(runs.folder, "w")
    runs.reopen(name, entry)
    work_off(runs.folder, "other")
    assert end(runs, name) == Outcome("complete", "trained to step 24")
    assert len(planned.run.read_meta()["segments"]) == 1


def test_what_is_damaged_is_nobodys(tmp_path: Path) -> None:
    runs, names, _ = opened(tmp_path, 0, 1)
    (runs.folder / "open" / names[0]).write_text('{"settings": {}')
    (runs.folder / "open" / f".{names[1]}.123").write_text("half written")
    work_off(runs.folder, "w")
    assert (runs.open(), runs.over()) == ([names[0]], [names[1]])


OWN_AND_DIE = """
import os, sys
from pathlib import Path
from diffmem.store import RunDir
with RunDir(Path(sys.argv[1])).lock():
    os.kill(os.getpid(), 9)
"""


def die_in(run: RunDir) -> None:
    died = subprocess.run([sys.executable, "-c", OWN_AND_DIE, str(run.path)])
    assert died.returncode == -signal.SIGKILL


def test_owners_that_died_are_counted_once_and_only_since_the_run_was_opened(tmp_path: Path) -> None:
    planned = plan(quick(tmp_path, {"name": "here"}))
    die_in(planned.run)
    runs, [name], _ = opened(tmp_path, 0, retries=1)
    die_in(planned.run)
    with planned.run.lock():  # somebody else found that out first
        pass
    work_off(runs.folder, "w")
    assert end(runs, name) == Outcome("complete", "trained to step 24")
    entry = runs.read(name, "over")
    assert entry is not None
    assert (entry.deaths, entry.worker) == (1, "w")


def test_one_death_too_many_ends_the_run(tmp_path: Path) -> None:
    runs, [name], [planned] = opened(tmp_path, 0, retries=1)
    die_in(planned.run)
    die_in(planned.run)
    work_off(runs.folder, "w")
    with pytest.raises(WorkerDied, match="died 2 times without coming past a first resume point"):
        end(runs, name)
    assert "died 2 times" in planned.run.read_status()["why"]


def leaves(number: int) -> Any:
    def execute(planned: Plan) -> Outcome:
        with Interrupts():
            os.kill(os.getpid(), number)
        return Outcome("interrupted", "left")

    return execute


def test_a_worker_that_is_asked_to_leave_takes_no_other_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, names, _ = opened(tmp_path, 0, 1)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        monkeypatch.setattr(taker, "execute", leaves(number))
        assert work_off(runs.folder, "w") == number
        assert runs.open() == names


def test_whole_turns_that_bring_a_run_no_further_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a node is up each time before a resume point: that is no death, and would never end."""
    runs, [name], _ = opened(tmp_path, 0, retries=1)
    monkeypatch.setattr(taker, "execute", leaves(signal.SIGTERM))
    for _ in range(3):  # a scheduler's own reasons do not count
        work_off(runs.folder, "w")
    monkeypatch.setattr(taker, "execute", leaves(signal.SIGUSR1))
    work_off(runs.folder, "w")
    assert runs.open() == [name]
    work_off(runs.folder, "w")
    with pytest.raises(WorkerDied, match=r"time on a node was up 2 times .* \(executor.time is too short\?\)"):
        end(runs, name)


def test_a_run_begun_late_in_a_turn_is_not_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, names, plans = opened(tmp_path, 0, 1, retries=0)
    whole = taker.execute

    def second_has_no_time(planned: Plan) -> Outcome:
        return whole(planned) if planned.run.name == plans[0].run.name else leaves(signal.SIGUSR1)(planned)

    monkeypatch.setattr(taker, "execute", second_has_no_time)
    assert work_off(runs.folder, "w") == signal.SIGUSR1
    assert (runs.open(), runs.over()) == ([names[1]], [names[0]])


def test_a_signal_between_runs_is_heard_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, names, _ = opened(tmp_path, 0)

    def late(config: Any) -> Plan:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("went on")

    monkeypatch.setattr(taker, "plan", late)
    assert work_off(runs.folder, "w") == signal.SIGTERM
    assert runs.open() == names


def test_where_the_sweep_stood_counts_and_not_where_the_worker_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, [name], [planned] = opened(Path("runs"), 0)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    work_off(runs.folder, "w")
    assert end(runs, name) is not None
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert replace(planned, run=RunDir(tmp_path / planned.run.path)).run.read_status()["status"] == "complete"
