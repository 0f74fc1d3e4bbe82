"""What every executor promises (`executors/base.py`), tried on each of them with real workers, kills and signals."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diffmem.executors.base import start
from diffmem.executors.ended import WorkerDied, outcome_in
from diffmem.store import RunDir
from diffmem.sweep.grid import plan_grid, run_all
from diffmem.training.plan import Plan, plan
from diffmem.training.session import Outcome
from tests.helpers.engines import ENGINES, Engine, at_work, drive, quick, started, training, wait
from tests.helpers.tiny import outcome_bytes, same_bytes

pytestmark = [pytest.mark.slow, pytest.mark.long]

ENDLESS = 1_000_000  # steps
KILLED: dict[str, Any] = {"steps": 300, "save_seconds": 0.1}  # long enough to be killed at several resume points
NAMED = {name: pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ENGINES}
# where the worker is the sweep itself, the test of a killed sweep kills it
killable = pytest.mark.parametrize("engine", [NAMED[name] for name in ENGINES if ENGINES[name].apart], indirect=True)


@pytest.fixture(params=NAMED.values(), scope="module")
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    chosen = ENGINES[request.param]
    with chosen.stand(tmp_path_factory.mktemp("engine")) as found:
        yield replace(chosen, options={**chosen.options, **found})


@pytest.fixture(scope="module")
def alone(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, bytes]]:
    """What a run leaves that nothing disturbed, and that no other run was trained with."""
    made: dict[str, dict[str, bytes]] = {}

    def bytes_of(**settings: Any) -> dict[str, bytes]:
        if str(settings) not in made:
            options = engine.options if engine.packed else {"name": "here"}
            planned = plan(quick(tmp_path_factory.mktemp("alone"), options, **settings))
            executor = start(planned.config)
            future = executor.submit(planned)
            executor.close()
            assert future.result().status == "complete"
            made[str(settings)] = outcome_bytes(planned.run.path)
        return made[str(settings)]

    return bytes_of


def is_free(run: RunDir) -> bool:
    with run.lock():
        return True


def test_runs_end_once_and_a_failing_one_stops_no_other(
    engine: Engine, alone: Callable[..., dict[str, bytes]], tmp_path: Path
) -> None:
    plans = [plan(quick(tmp_path, engine.options, seed)) for seed in range(4)]
    broken, *whole = plans
    (broken.run.path / "metrics.jsonl").mkdir(parents=True)
    with started(plans[0].config) as executor:
        futures = [executor.submit(planned) for planned in plans]
        assert executor.submit(plans[-1]) is futures[-1]  # still queued, or under way

    with pytest.raises(Exception, match="no regular file"):
        futures[0].result()
    assert broken.run.read_status()["status"] == "failed"
    assert "no regular file" in broken.run.read_status()["why"]
    for planned, future in zip(whole, futures[1:], strict=True):
        assert future.result() == Outcome("complete", "trained to step 24")
        assert outcome_in(planned.run, {}) == future.result()
        assert len(planned.run.read_meta()["segments"]) == 1
        assert same_bytes(outcome_bytes(planned.run.path), alone(seed=planned.config.seed))
    assert _most_at_once(whole) <= executor.capacity


def _most_at_once(plans: list[Plan]) -> int:
    begun = [planned.run.read_meta()["segments"][0]["start"] for planned in plans]
    ended = [planned.run.read_status()["ended"] for planned in plans]
    return max(sum(begin <= moment < end for begin, end in zip(begun, ended, strict=True)) for moment in begun)


@killable
def test_deaths_with_progress_do_not_count_and_the_run_goes_on(
    engine: Engine, alone: Callable[..., dict[str, bytes]], tmp_path: Path
) -> None:
    """Killed three times, each time past a newer resume point, where only one death without is forgiven."""
    planned = plan(quick(tmp_path, engine.options, **KILLED))
    killed: set[int] = set()
    with started(planned.config) as executor:
        future = executor.submit(planned)
        for _ in range(3):
            step = planned.run.resume_step()
            wait(lambda step=step: at_work(planned.run, killed) and planned.run.resume_step() > step)  # type: ignore[misc]
            killed.add(planned.run.read_status()["pid"])
            os.kill(planned.run.read_status()["pid"], signal.SIGKILL)
    assert future.result().status == "complete"
    assert len(planned.run.read_meta()["segments"]) == 4
    assert same_bytes(outcome_bytes(planned.run.path), alone(seed=0, **KILLED))


@killable
def test_a_run_is_given_up_after_its_deaths_without_progress(engine: Engine, tmp_path: Path) -> None:
    """The first death comes after the first resume point; the two after it do not get past that."""
    doomed = plan(quick(tmp_path, engine.options, steps=ENDLESS, save_seconds=1000.0))
    other = plan(quick(tmp_path, engine.options, seed=1))
    killed: set[int] = set()
    with started(doomed.config) as executor:
        futures = [executor.submit(doomed), executor.submit(other)]
        for _ in range(3):
            assert not futures[0].done()
            wait(lambda: training(doomed.run, killed))
            killed.add(doomed.run.read_status()["pid"])
            os.kill(doomed.run.read_status()["pid"], signal.SIGKILL)
    with pytest.raises(WorkerDied, match="died 2 times without coming past resume point 0"):
        futures[0].result()
    assert doomed.run.read_status()["status"] == "failed"
    assert "died 2 times" in doomed.run.read_status()["why"]
    assert futures[1].result().status == "complete"


def test_an_interrupt_leaves_every_run_at_a_resume_point(engine: Engine, tmp_path: Path) -> None:
    configs = [quick(tmp_path / "runs", engine.options, seed, steps=ENDLESS, save_seconds=1000.0) for seed in range(3)]
    runs = [plan(config).run for config in configs]
    with drive(configs, tmp_path) as sweep:
        at_once = min(start(configs[0]).capacity, 3)
        wait(lambda: sum(training(run) and run.read_status()["step"] > 5 for run in runs) == at_once)
        begun = {run.name: run.read_status()["step"] for run in runs if training(run)}
        sweep.terminate()
        out, _ = sweep.communicate(timeout=300)
    assert [line.partition(",")[0] for line in out.splitlines()] == ["interrupted"] * 3
    for run in runs:
        assert run.resume_step() >= begun.get(run.name, -1)
        assert is_free(run)
        if run.name not in begun:
            assert run.read_status()["status"] == "queued"


def test_a_killed_sweep_is_taken_up_by_another(
    engine: Engine, alone: Callable[..., dict[str, bytes]], tmp_path: Path
) -> None:
    configs = [quick(tmp_path / "runs", engine.options, seed, **KILLED) for seed in range(2)]
    runs = [plan(config).run for config in configs]
    with drive(configs, tmp_path) as sweep:
        wait(lambda: any(run.resume_step() > 0 for run in runs))
        sweep.kill()
    results = run_all(plan_grid(configs), contextlib.nullcontext())
    assert [result.sentence for result in results] == [f"complete, trained to step {KILLED['steps']}"] * 2
    for config, run in zip(configs, runs, strict=True):
        assert same_bytes(outcome_bytes(run.path), alone(seed=config.seed, **KILLED))


def test_a_run_that_another_process_works_on_is_waited_for_after_the_others(engine: Engine, tmp_path: Path) -> None:
    plans = [plan(replace(quick(tmp_path, engine.options, seed), heartbeat_seconds=0.1)) for seed in range(3)]
    with started(plans[0].config) as executor:
        with plans[0].run.lock():
            futures = [executor.submit(planned) for planned in plans]
            closing = threading.Thread(target=executor.close)
            closing.start()
            wait(lambda: all(future.done() for future in futures[1:]))
            assert not futures[0].done()
        closing.join()
    assert [future.result().status for future in futures] == ["complete"] * 3
    assert len(plans[0].run.read_meta()["segments"]) == 1
