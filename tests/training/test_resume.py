"""Exact resume: killed at any moment and started again, a run ends with the bytes of one never killed."""

import json
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

import pytest

from diffmem.config.identity import MEASURES, evaluation, short_hash
from diffmem.config.settings import Config
from diffmem.definitions import BOOKENDS
from diffmem.executors.pool import PRELOAD
from diffmem.files import DamagedWarning
from diffmem.store import RunDir
from diffmem.training import machine
from diffmem.training.plan import plan
from diffmem.training.session import Outcome, execute
from tests.helpers.tiny import CHECKPOINTS, outcome_bytes, same_bytes, tiny

pytestmark = pytest.mark.slow

KILLS = 25
PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(PRELOAD)


def settings(out: Path, **groups: object) -> Config:
    """The tiny run with two averages of the weights, dropout and labels, and a resume point at almost every step."""
    decided = {"ema": "posthoc", "label_dropout": 0.3}
    return tiny(
        out,
        data={"labels": "random"},
        train={**decided, "save_seconds": 0.01, **groups},
        model={"dropout": 0.2, "classes": 10},
        eval={"weights": "posthoc", "ema_sigma": 0.1},
    )


def start(config: Config, kill_at_write: int = 0) -> BaseProcess:
    process = PROCESSES.Process(target=_work, args=(config, kill_at_write))
    process.start()
    return process


def _work(config: Config, kill_at_write: int) -> None:
    if kill_at_write:
        _die_at(kill_at_write)
    outcome = execute(plan(config))
    os._exit(outcome.exit_code)


def _die_at(event: int) -> None:
    """Kill this process before its `event`-th flush, rename or removal."""
    events = 0

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal events
            events += 1
            if events == event:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    for module, names in ((os, ("fsync", "replace", "rename", "unlink", "ftruncate")), (shutil, ("rmtree",))):
        for name in names:
            setattr(module, name, counted(getattr(module, name)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run that is never killed leaves."""
    out = tmp_path_factory.mktemp("whole")
    process = start(settings(out))
    process.join()
    assert process.exitcode == 0
    (run,) = out.iterdir()
    return outcome_bytes(run)


def test_the_whole_run_is_whole(whole: dict[str, bytes]) -> None:
    rows = [json.loads(line) for line in whole["metrics.jsonl"].splitlines()]
    assert [row["step"] for row in rows] == CHECKPOINTS
    for step in CHECKPOINTS:
        assert f"samples/step_{step:08d}.safetensors" in whole
        for average in ("ema_0.050", "ema_0.100"):
            assert f"checkpoints/step_{step:08d}/{average}/diffmem.json" not in whole
            assert f"checkpoints/step_{step:08d}/{average}/diffusion_pytorch_model.safetensors" in whole


@pytest.mark.long
def test_kills_at_random_moments_and_during_every_kind_of_write(tmp_path: Path, whole: dict[str, bytes]) -> None:
    """Each process is killed at a random write or after a random time; the next goes on. Whole runs are compared."""
    draw = random.Random(0)
    kills = finished = attempts = 0
    config = settings(tmp_path)
    while kills < KILLS:
        attempts += 1
        assert attempts < 6 * KILLS
        by_write = draw.random() < 0.7
        process = start(config, kill_at_write=draw.randint(1, 90) if by_write else 0)
        if not by_write:
            process.join(draw.uniform(0.0, 1.5))
            process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            kills += 1
        if process.exitcode == 0:
            (run,) = tmp_path.iterdir()
            assert same_bytes(outcome_bytes(run), whole)
            shutil.rmtree(run)
            finished += 1
    process = start(config)
    process.join()
    assert process.exitcode == 0
    (run,) = tmp_path.iterdir()
    assert same_bytes(outcome_bytes(run), whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
@pytest.mark.parametrize("phase", ["training", "evaluating"])
def test_a_polite_signal_leaves_at_once_and_loses_nothing(
    tmp_path: Path, whole: dict[str, bytes], number: int, phase: str
) -> None:
    slow = {"save_seconds": 1000.0} if phase == "training" else {}
    config = settings(tmp_path, **slow)
    process = PROCESSES.Process(target=_work_slowly, args=(config, phase))
    process.start()
    run = plan(config).run
    _wait(lambda: (run.path / "slow").exists())
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == 130
    assert run.read_status()["status"] == "interrupted"
    assert "same command" in run.read_status()["why"]
    if phase == "training":  # the step that was under way is not lost
        assert json.loads(run.resume_pointer_path.read_text())[-1]["step"] >= 7
    again = start(settings(tmp_path))
    again.join()
    assert same_bytes(outcome_bytes(run.path), whole)


def _work_slowly(config: Config, phase: str) -> None:
    """A run that says where it is and dwells there: at step 7 of training, or in its third evaluation."""
    from diffmem.training import rows, signals
    from diffmem.training.step import EagerStep

    signals.PATIENCE_SECONDS = 60.0  # a busy machine must not turn a save into an abandoned step
    path = plan(config).run.path / "slow"
    if phase == "training":
        own, request, asked = EagerStep.__call__, signals.Interrupts._request, threading.Event()

        def noted_request(self: signals.Interrupts, number: int, frame: FrameType | None) -> None:
            asked.set()
            request(self, number, frame)

        def slow_step(self: EagerStep, step: int) -> None:
            if step >= 7:
                path.touch()
                asked.wait(60)
            own(self, step)

        signals.Interrupts._request = noted_request  # type: ignore[method-assign]
        EagerStep.__call__ = slow_step  # type: ignore[method-assign]
    else:
        evaluate = rows.Evaluator.__call__

        def slow_evaluate(self: rows.Evaluator, model: object, step: int) -> object:
            if step >= 4:
                path.touch()
                time.sleep(60)
            return evaluate(self, model, step)  # type: ignore[arg-type]

        rows.Evaluator.__call__ = slow_evaluate  # type: ignore[method-assign, assignment]
    _work(config, 0)


def _wait(ready: Callable[[], bool]) -> None:
    for _ in range(6000):
        if ready():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")


@pytest.fixture
def finished(tmp_path: Path) -> tuple[Config, RunDir, dict[str, bytes]]:
    """A finished run in this process: its settings, directory and bytes."""
    config = tiny(tmp_path)
    planned = plan(config)
    outcome = execute(planned)
    assert (outcome.status, outcome.worked) == ("complete", True)
    return config, planned.run, outcome_bytes(planned.run.path)


def again(config: Config) -> Outcome:
    return execute(plan(config))


def flip(path: Path, place: int = -20) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))


def test_a_finished_run_is_left_alone(finished: tuple[Config, RunDir, dict[str, bytes]]) -> None:
    config, run, before = finished
    assert again(config) == Outcome("complete", "trained to step 24", worked=False)
    assert outcome_bytes(run.path) == before


def test_rows_of_an_earlier_version_of_the_measures_are_made_again_beside_the_old(
    finished: tuple[Config, RunDir, dict[str, bytes]],
) -> None:
    config, run, before = finished
    meta = run.read_meta()
    assert meta["measures"] == MEASURES
    assert set(meta["bookends"]) == set(BOOKENDS) - {"halves"}  # which standard measures alone have
    run.write_meta({name: value for name, value in meta.items() if name not in ("measures", "bookends")})
    old = [{"step": row["step"], "f_mem": row["f_mem"]} for row in run.primary.read_rows()]
    run.primary.write_rows(old)
    assert again(config).worked
    aside = run.evaluation(short_hash(evaluation(config.to_mapping(), 1)))
    assert aside.read_rows() == old
    assert aside.samples_path(0).is_file()
    assert outcome_bytes(run.path) == before
    assert run.read_meta()["bookends"] == meta["bookends"]
    assert not again(config).worked


def test_more_steps_continue_the_run(finished: tuple[Config, RunDir, dict[str, bytes]], tmp_path: Path) -> None:
    config, run, before = finished
    longer = Config.from_mapping({**config.to_mapping(), "train": {**config.to_mapping()["train"], "steps": 30}})
    assert again(longer) == Outcome("complete", "trained to step 30")
    after = outcome_bytes(run.path)
    assert after["metrics.jsonl"].startswith(before["metrics.jsonl"])
    assert all(after[name] == before[name] for name in before if name.startswith(("checkpoints", "samples")))
    other = tiny(tmp_path / "other", train={"steps": 30})
    execute(plan(other))
    direct = plan(other).run
    assert run.read_resume() == direct.read_resume()


def test_a_torn_row_is_made_again(finished: tuple[Config, RunDir, dict[str, bytes]]) -> None:
    config, run, before = finished
    path = run.primary.metrics_path
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.warns(DamagedWarning, match="torn"):
        assert again(config).worked
    assert outcome_bytes(run.path) == before


def test_a_row_lost_in_the_middle_is_made_again(finished: tuple[Config, RunDir, dict[str, bytes]]) -> None:
    config, run, before = finished
    lines = run.primary.metrics_path.read_bytes().splitlines(keepends=True)
    run.primary.metrics_path.write_bytes(b"".join(lines[:2] + lines[3:]))
    assert again(config).worked
    assert outcome_bytes(run.path) == before


def test_a_damaged_resume_point_is_replaced_by_the_one_before(
    finished: tuple[Config, RunDir, dict[str, bytes]],
) -> None:
    config, run, before = finished
    flip(run.resume_path(24))
    with pytest.warns(DamagedWarning, match="step_00000024"):
        assert again(config).worked
    assert outcome_bytes(run.path) == before


def test_both_resume_points_damaged_begins_anew(finished: tuple[Config, RunDir, dict[str, bytes]]) -> None:
    config, run, before = finished
    flip(run.resume_path(24))
    flip(run.resume_path(20))
    with pytest.warns(DamagedWarning):
        assert again(config).worked
    assert outcome_bytes(run.path) == before


@pytest.mark.parametrize("step", [0, 6, 20, 24])
@pytest.mark.parametrize("name", ["diffusion_pytorch_model.safetensors", "config.json", "diffmem.json"])
def test_a_damaged_checkpoint_is_named_and_made_anew(
    finished: tuple[Config, RunDir, dict[str, bytes]], step: int, name: str
) -> None:
    config, run, before = finished
    flip(run.checkpoint_path(step) / name, place=1 if name == "diffmem.json" else -20)
    with pytest.warns(DamagedWarning, match=f"{run.checkpoint_path(step).name}/{name} is damaged or gone"):
        again(config)
    assert outcome_bytes(run.path) == before


def test_another_machine_is_warned_of(
    finished: tuple[Config, RunDir, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, run, _ = finished
    longer = Config.from_mapping({**config.to_mapping(), "train": {**config.to_mapping()["train"], "steps": 25}})
    monkeypatch.setattr(machine, "PACKAGES", ("torch",))
    with pytest.warns(UserWarning, match="goes on under another packages"):
        again(longer)
    segments = run.read_meta()["segments"]
    assert len(segments) == 2
    assert segments[0]["threads"] == 1


def test_a_run_ends_two_checkpoints_after_f_mem_passed_its_level(tmp_path: Path) -> None:
    """With k = 1 every sample counts as memorized, so the rule is met at step 0 and ends the run two rows later."""
    config = tiny(tmp_path, stop={"f_mem": 0.5, "after": 2}, eval={"k": 1.0})
    assert again(config) == Outcome("stopped", "f_mem passed stop.f_mem=0.5 at step 0")
    run = plan(config).run
    assert [row["step"] for row in run.primary.read_rows()] == CHECKPOINTS[:3]
    assert again(config).worked is False
    freed = tiny(tmp_path, eval={"k": 1.0})
    assert again(freed) == Outcome("complete", "trained to step 24")
    assert [row["step"] for row in run.primary.read_rows()] == CHECKPOINTS
