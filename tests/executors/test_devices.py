"""Runs on GPUs that are pretended: what workers see, who shares, out of memory, GPUs that do not work, bad input."""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

from diffmem.cli.main import main
from diffmem.config.compose import compose
from diffmem.executors import auto, devices, server
from diffmem.executors.base import start
from diffmem.memory import OutOfMemory
from diffmem.training import footprint, machine
from diffmem.training.beside import Beside, BesideCost
from diffmem.training.machine import Gpu
from diffmem.training.plan import Plan, plan
from diffmem.training.speed import Speed
from tests.helpers import pretended
from tests.helpers.engines import quick
from tests.helpers.pretended import GIB, OPTIONS
from tests.helpers.tiny import OVERRIDES, tiny

GRID = [*(word for word in OVERRIDES if not word.startswith("device=")), "device=auto", "experiment=null", "out=runs"]


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two pretended GPUs and many cores."""
    monkeypatch.setattr(machine, "cores", lambda: 32)
    with pretended.stand(2):
        yield


def plans(out: Path, seeds: int, width: int = 4, **options: Any) -> list[Plan]:
    configs = [quick(out, {**OPTIONS, **options}, seed) for seed in range(seeds)]
    return [plan(replace(config, model=replace(config.model, width=width))) for config in configs]


def sweep(planned: list[Plan]) -> list[Any]:
    """The outcome or the error of each run."""
    executor = start(planned[0].config)
    futures = [executor.submit(one) for one in planned]
    executor.close()
    return [future.exception() or future.result().status for future in futures]


def overlapping(workers: list[dict[str, Any]], one: dict[str, Any]) -> list[dict[str, Any]]:
    """Those on the GPU of `one` while it was there, itself included."""
    others = [other for other in workers if other["gpu"] == one["gpu"]]
    return [other for other in others if other["begin"] < one["end"] and one["begin"] < other["end"]]


@pytest.mark.slow
@pytest.mark.usefixtures("two")
def test_each_worker_sees_its_gpu_alone_and_small_runs_share_one_by_what_they_take(tmp_path: Path) -> None:
    """Large runs take 4 GiB of 9 (and 1 for the process), small ones 1.9: at once 1 and 1, or 3 small ones."""
    out = tmp_path / "runs"
    pretended.script(out, bytes={"8": 4 * GIB, "4": int(0.9 * GIB)}, meet=4)
    runs = [*plans(out, 2, width=8, per_device="auto"), *plans(out, 6, per_device="auto")]
    assert sweep(runs) == ["complete"] * 8
    workers = pretended.seen(out)
    assert [worker["run"] for worker in workers].count(None) == 2  # one for each shape
    assert all(worker["from_the_first"] for worker in workers)
    assert {worker["gpu"] for worker in workers} == {"pretended-0", "pretended-1"}
    assert len({worker["pid"] for worker in workers}) == len(workers)
    for worker in filter(lambda worker: worker["run"], workers):
        at_begin = [one for one in overlapping(workers, worker) if one["run"] and one["begin"] <= worker["begin"]]
        assert sum(5 if "-w8-" in one["run"] else 1.9 for one in at_begin) <= 9


@pytest.mark.slow
@pytest.mark.usefixtures("two")
def test_out_of_memory_beside_others_is_no_death_and_the_run_is_run_again_alone(tmp_path: Path) -> None:
    pretended.script(tmp_path, hungry={"1": 1, "2": 9}, meet=4)
    runs = plans(tmp_path, 5, retries=0)
    first, again, never, *others = sweep(runs)
    assert [first, again, *others] == ["complete"] * 4
    assert isinstance(never, OutOfMemory)
    words = r"cpu ran out of memory: use a smaller train.batch \(4\), model.width \(4\) or eval.tile \(512\)"
    with pytest.raises(OutOfMemory, match=rf"{words}; it was alone there"):
        raise never
    assert runs[2].run.read_status()["status"] == "failed"
    assert "ran out of memory: use a smaller train.batch" in runs[2].run.read_status()["why"]
    workers = pretended.seen(tmp_path)
    for number in (1, 2):
        _, alone = (worker for worker in workers if worker["run"] == f"n8-w4-s{number}")
        assert overlapping(workers, alone) == [alone]


@pytest.mark.slow
@pytest.mark.usefixtures("two")
def test_a_gpu_that_cannot_be_opened_is_left_out(tmp_path: Path) -> None:
    pretended.script(tmp_path, bad=["pretended-0"])
    with pytest.warns(UserWarning, match="cuda:pretended-0 is left out.*fallen off the bus"):
        assert sweep(plans(tmp_path, 3, retries=0)) == ["complete"] * 3
    assert {worker["gpu"] for worker in pretended.seen(tmp_path)} == {"pretended-1"}

    pretended.script(tmp_path / "none", bad=["pretended-0", "pretended-1"])
    with pytest.warns(UserWarning, match="is left out") as said:
        errors = sweep(plans(tmp_path / "none", 3))
    assert len(said) == 2
    assert {type(error) for error in errors} == {devices.BadDevice}
    assert "no GPU is left that works (cuda:pretended-" in str(errors[0])


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="there is no GPU that torch can use: executor=devices had pretended ones only"
)
def test_runs_share_a_gpu_that_is_there(tmp_path: Path) -> None:
    options = {**OPTIONS, "per_device": "auto"}
    runs = [plan(replace(quick(tmp_path, options, seed), device="cuda")) for seed in range(4)]
    assert sweep(runs) == ["complete"] * 4
    names = {f"cuda:{gpu.name}" for gpu in machine.gpus()}
    for planned in runs:
        assert planned.run.read_status()["device"] in names
        assert planned.run.read_meta()["segments"][0]["device"] == "cuda"
    workers = server.Workers()
    taken = workers.call(machine.gpus()[0].name, devices.on_device, footprint.measure, runs[0].config)
    weights = sum(memory for name, memory in devices.budget.in_training(runs[0].config).items() if "width" in name)
    assert weights < taken < machine.gpus()[0].memory


@pytest.mark.slow
def test_a_server_asks_cuda_nothing_before_it_forks() -> None:
    """Whoever has asked cannot share the answer with a fork."""
    code = """
import importlib, torch
def refuse(*_): raise AssertionError("CUDA was asked")
for name in ("is_available", "device_count", "current_device", "get_device_properties", "init", "_lazy_init"):
    assert hasattr(torch.cuda, name)
    setattr(torch.cuda, name, refuse)
from diffmem.executors.server import PRELOAD
for module in PRELOAD: importlib.import_module(module)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.usefixtures("two")
def test_workers_asked_to_leave_while_their_server_still_loads_are_not_waited_for() -> None:
    workers, answers = server.Workers(), list[Any]()
    calling = threading.Thread(target=lambda: answers.append(workers.call("late", os.getpid)))
    calling.start()
    while "late" not in server._servers:
        pass
    workers.leave(0.0)
    calling.join()
    assert answers == [None]
    assert workers.call("late", os.getpid) is None
    server._servers.pop("late").stop()


class Unpicklable(Exception):
    def __init__(self, number: int, what: object) -> None:
        super().__init__(f"{number} of them")


def fail(kind: type[Exception]) -> NoReturn:
    raise kind(3, lambda: None) if kind is Unpicklable else kind("why")


@pytest.mark.parametrize(
    ("kind", "received", "words"), [(OutOfMemory, OutOfMemory, "why"), (Unpicklable, RuntimeError, "Unpicklable: 3 of")]
)
def test_what_a_worker_raises_arrives_in_words_at_least(
    kind: type[Exception], received: type[Exception], words: str
) -> None:
    error = pickle.loads(server._answer(pickle.dumps((os.getcwd(), fail, (kind,)))))
    assert type(error) is received
    assert words in str(error)
    lost = pickle.loads(server._answer(pickle.dumps((os.getcwd(), fail, (kind,))).replace(b"fail", b"gone")))
    assert "gone" in str(lost)


BAD = [
    ([], 0, "executor=devices: this machine has 0 GPUs that torch can use: use executor=pool."),
    (["device=cpu"], 2, "executor=devices spreads runs over GPUs, and device=cpu: use device=auto"),
    (["executor.per_device=0"], 2, "executor.per_device=0 is out of range: it must be >= 1"),
    (["executor.per_device=most"], 2, "executor.per_device='most' is neither a number of runs >= 1 nor the word auto."),
    (["executor.per_device=1000"], 2, "executor.per_device=1000: so many runs take at least"),
    (["executor.devices=[0,2]"], 2, "executor.devices=[0, 2]: there is no GPU 2, this machine has 2: use numbers from"),
    (["executor.devices=[]"], 2, "executor.devices=[] must name each GPU once, and one at least"),
    (["executor.devices=[1,1]"], 2, "executor.devices=[1, 1] must name each GPU once"),
]


@pytest.mark.parametrize(("words", "there", "sentence"), BAD, ids=[" ".join(words) or "no GPU" for words, *_ in BAD])
@pytest.mark.parametrize("verb", [["sweep"], ["sweep", "--dry-run"]], ids=["sweep", "dry run"])
def test_bad_input_costs_a_sentence(
    verb: list[str],
    words: list[str],
    there: int,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "gpus", lambda: [Gpu(str(index), 2**20) for index in range(there)])
    assert main([*verb, *GRID, "executor=devices", *words]) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert len(printed.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("device", "count", "chosen"),
    [
        ("auto", 0, "pool"),
        ("auto", 1, "devices"),
        ("cuda", 3, "devices"),
        ("cpu", 4, "pool"),
        ("cuda:1", 4, "pool"),
    ],
)
def test_where_runs_go_when_nobody_says(device: str, count: int, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: [Gpu(str(index), GIB) for index in range(count)])
    monkeypatch.setattr(machine, "cores", lambda: 9)
    config = compose([f"device={device}", "executor.workers=6", "executor.retries=3"])
    assert config.executor.name == "auto"
    found = auto.chosen(config)
    options = found.executor.__dict__
    assert (found.executor.name, options["workers"], options["retries"]) == (chosen, 6, 3)
    assert auto.chosen(found) is found
    if chosen == "devices":
        assert start(config).capacity == min(6, 9 // count * count)
        names = ", ".join(f"cuda:{index}" for index in range(count))
        assert auto.notes(config) == [f"executor=devices: at most 6 runs at once, on {names}"]
    else:
        assert auto.notes(config) == []


@pytest.mark.usefixtures("two")
def test_a_dry_run_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(device: str) -> NoReturn:
        raise AssertionError(f"a server was started for {device}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(server, "_Server", refuse)
    monkeypatch.setattr(BesideCost, "__call__", lambda *_: Beside(300.0, 60.0, 2820, 2612))
    monkeypatch.setattr(Speed, "step", lambda *_: 0.5)
    monkeypatch.setattr(Speed, "call", lambda *_: 0.5)
    assert main(["sweep", "--dry-run", *GRID, "executor=devices", "device=cpu"]) == 0
    assert "on this machine, 32 at once on 2 of its GPUs, those that share one in turns" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_the_cores_are_shared_out_to_the_runs_that_may_be_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 32)
    monkeypatch.setattr(machine, "gpus", lambda: pretended.gpus(2))
    for options, capacity, threads in (({}, 32, 1), ({"per_device": 2}, 4, 8), ({"workers": 3}, 3, 10)):
        executor = start(tiny(executor={**OPTIONS, "per_device": "auto", **options}, device="auto"))
        assert (executor.capacity, executor.lanes) == (capacity, 2)
        assert executor._engine._threads == threads  # type: ignore[attr-defined]
