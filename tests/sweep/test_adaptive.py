"""Adaptive sweeps: runs go where the boundary is, nothing is run twice, and bad input costs nothing.

Runs are planted: in place of training, a run directory is written whose f_mem crosses 0.05 at a known step.
"""

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from diffmem.analysis.laws.proposal import Proposal, propose_next
from diffmem.analysis.tables.family import read_table
from diffmem.analysis.times.family import family_times
from diffmem.cli.main import main
from diffmem.errors import InputError
from diffmem.store import RunDir, find_runs
from diffmem.sweep import adaptive
from diffmem.sweep.adaptive import Point, boundary_step, budget, run_adaptively
from diffmem.sweep.grid import RunResult, plan_grid
from diffmem.training.plan import Plan
from diffmem.training.session import Outcome
from tests.helpers.families import planted_rows
from tests.helpers.tiny import OVERRIDES, tiny

NS = list(range(8, 58, 3))  # 17 values
STEP = 1000  # of the boundary; τ_mem = 30 n, so n* = 33.3
RunAll = Callable[[list[Plan], object], list[RunResult]]


def grid(folder: Path, ns: Sequence[int] = NS, widths: Sequence[int] = (4,), seeds: Sequence[int] = (0,)) -> list[Plan]:
    return plan_grid(
        tiny(folder, data={"n": n, "index": seed}, model={"width": width}, seed=seed)
        for n in ns
        for width in widths
        for seed in seeds
    )


def train(planned: Plan) -> RunResult:
    """A finished run with τ_mem = 30 n and τ_gen = 100."""
    config, run = planned.config, planned.run
    rows = planted_rows(config.data.n, 30.0 * config.data.n, 100.0, total=5000)
    run.write_config(config.to_mapping())
    run.primary.write_rows(
        {str(name): value for name, value in row.items()}
        for row in rows.drop(columns=["run", "n", "width", "seed", "index"]).to_dict("records")
    )
    run.write_status({"status": "complete"})
    return RunResult(run, Outcome("complete", "planted"), None)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Planted runs in place of trained ones; the n of every batch."""
    seen: list[list[int]] = []

    def run_all(plans: list[Plan], show: object) -> list[RunResult]:
        seen.append([planned.config.data.n for planned in plans])
        return [train(planned) for planned in plans]

    monkeypatch.setattr(adaptive, "run_all", run_all)
    return seen


def sweep(plans: list[Plan], runs: int, lines: list[str] | None = None) -> list[RunResult]:
    def choose(candidates: Sequence[Point], number: int) -> Proposal:
        times = family_times(read_table(plans[0].run.path.parent), n_boot=0)
        return propose_next(times, candidates, step=STEP, number=number)

    def show(runs: list[RunDir]) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    return run_adaptively(plans, choose, runs, show, (lines if lines is not None else []).append)


def test_the_boundary_is_bracketed_by_neighbours_in_few_runs(tmp_path: Path, batches: list[list[int]]) -> None:
    lines: list[str] = []
    results = sweep(grid(tmp_path), len(NS), lines)
    assert batches[0] == [8, 56, 32]  # the ends and the middle
    assert all(len(batch) == 1 for batch in batches[1:])
    known = sorted(n for batch in batches for n in batch)
    assert len(known) == len(set(known)) == len(results) <= 3 + 3  # 7 candidates are left on one side: 3 halvings
    assert {32, 35} <= set(known)
    assert len(lines) == len(batches) + 2
    assert "n=44 at W=4 (n* between 32 and 56): n=44 W=4 seed 0" in lines[2]
    assert lines[-1].endswith("no candidate is left that would move a boundary: n* between 32 and 35 at W=4.")


def test_the_runs_to_spend_are_spent_and_no_more(tmp_path: Path, batches: list[list[int]]) -> None:
    lines: list[str] = []
    assert len(sweep(grid(tmp_path), 5, lines)) == 5
    assert len(find_runs(tmp_path)) == 5
    assert lines[-1].startswith("5 of 5 runs spent. Would be next, at step 1,000")
    assert len(sweep(grid(tmp_path / "two"), 2)) == 2
    assert batches[-1] == [8, 56]


def test_batches_are_as_large_as_the_workers_are_many(tmp_path: Path, batches: list[list[int]]) -> None:
    plans = plan_grid(tiny(tmp_path, data={"n": n}, executor={"name": "pool", "workers": 2}) for n in NS)
    sweep(plans, len(NS))
    assert [len(batch) for batch in batches[:2]] == [3, 2]


def test_every_width_has_its_ends_and_its_boundary(tmp_path: Path, batches: list[list[int]]) -> None:
    plans = grid(tmp_path, NS[::4], widths=(4, 8))
    sweep(plans, len(plans))
    assert batches[0] == [8, 56, 8, 56, 32]
    times = family_times(read_table(tmp_path), n_boot=0)
    for _, runs in times.groupby("width"):
        assert {32, 44} <= set(runs["n"])
    assert len(times) == 8  # of ten: n = 20 is never needed


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 1, 2, 4])
def test_a_killed_sweep_started_again_ends_with_the_same_runs(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: list[list[int]]
) -> None:
    sweep(grid(tmp_path / "whole"), 6)
    whole = {run.name for run in find_runs(tmp_path / "whole")}
    plain, trained = adaptive.run_all, 0

    def killed(plans: list[Plan], show: object) -> list[RunResult]:
        """As `run_all` leaves it: all runs of the batch are queued, the first ones finished."""
        nonlocal trained
        for planned in plans:
            planned.run.write_status({"status": "queued"})
        for planned in plans:
            if trained == after:
                raise KeyboardInterrupt
            train(planned)
            trained += 1
        return [RunResult(planned.run, Outcome("complete", "planted"), None) for planned in plans]

    monkeypatch.setattr(adaptive, "run_all", killed)
    with pytest.raises(KeyboardInterrupt):
        sweep(grid(tmp_path / "killed"), 6)
    monkeypatch.setattr(adaptive, "run_all", plain)
    batches.clear()
    results = sweep(grid(tmp_path / "killed"), 6)
    assert {run.name for run in find_runs(tmp_path / "killed")} == whole
    assert {result.run.name for result in results} == whole
    assert sum(map(len, batches)) == 6  # what was finished is among them, and counts


@pytest.mark.parametrize("begun", [False, True])
def test_an_interrupt_ends_the_sweep(begun: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans, batches = grid(tmp_path), []

    def interrupted(plans: list[Plan], show: object) -> list[RunResult]:
        """The first run of the batch is over when the interrupt comes."""
        batches.append(plans)
        rest = [RunResult(planned.run, Outcome("interrupted", "left"), None) for planned in plans[1:]]
        return [train(plans[0]), *rest]

    for planned in plans[:2] if begun else []:
        planned.run.write_status({"status": "queued"})
    monkeypatch.setattr(adaptive, "run_all", interrupted)
    codes = [result.exit_code for result in sweep(plans, 6)]
    assert codes == ([0, 130] if begun else [0, 130, 130])
    assert len(batches) == 1


def test_a_failed_run_is_replaced_by_its_next_seed_and_all_failed_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_all(plans: list[Plan], show: object) -> list[RunResult]:
        bad = [planned.config.data.n == 32 and planned.config.seed == 0 for planned in plans]
        return [
            RunResult(planned.run, None, "broken") if broken else train(planned)
            for planned, broken in zip(plans, bad, strict=True)
        ]

    monkeypatch.setattr(adaptive, "run_all", run_all)
    results = sweep(grid(tmp_path, (8, 32, 56), seeds=(0, 1)), 6)
    done = {result.run.name[:17] for result in results if result.exit_code == 0}
    assert any(name.startswith("digits-n32-w4-s1") for name in done)
    assert len(results) == 4

    monkeypatch.setattr(
        adaptive, "run_all", lambda plans, show: [RunResult(planned.run, None, "broken") for planned in plans]
    )
    assert len(sweep(grid(tmp_path / "broken"), 6)) == 3


def test_the_budget_is_a_third_and_at_least_four(tmp_path: Path) -> None:
    assert budget(grid(tmp_path), None) == 5
    assert budget(grid(tmp_path, NS[:6]), None) == 4
    assert budget(grid(tmp_path, NS[:2]), None) == 2
    assert budget(grid(tmp_path, NS[:6]), 100) == 6
    assert (boundary_step(grid(tmp_path), None), boundary_step(grid(tmp_path), 7)) == (24, 7)
    with pytest.raises(InputError, match="the grid varies more than"):
        budget(plan_grid(tiny(tmp_path, data={"n": n}, optimizer={"lr": lr}) for n in (8, 9) for lr in (0.1, 0.2)), 4)


def words(*more: str) -> list[str]:
    return [*more, *(word for word in OVERRIDES if not word.startswith("data.n=")), "out=runs", "experiment=null"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--adaptive", "--runs", "0", "data.n=8,12"], "--runs 0 is out of range: it must be at least 2"),
        (["--adaptive", "--runs", "-3", "data.n=8,12"], "--runs: -3 is out of range"),
        (["--adaptive", "data.n=8"], "the grid has data.n=8 alone: name at least two, such as data.n=8,32."),
        (["--adaptive", "data.n=8", "seed=0,1"], "the grid has data.n=8 alone"),
        (
            ["--adaptive", "--step", "25", "data.n=8,12"],
            "--step 25 is out of range: it must be from 1 to train.steps=24",
        ),
        (["--adaptive", "--step", "0", "data.n=8,12"], "--step 0 is out of range"),
        (["--runs", "4", "data.n=8,12"], "--runs is for an adaptive sweep: add --adaptive, or leave it out."),
        (["--step", "4", "data.n=8,12"], "--step is for an adaptive sweep"),
        (["--adaptive", "--runs", "many", "data.n=8,12"], "argument --runs: many is not a whole number"),
    ],
)
def test_bad_input_costs_nothing(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", *words(*arguments)]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_line_spends_fits_and_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], batches: list[list[int]]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["sweep", *words("--adaptive", "--step", "1000", f"data.n={','.join(map(str, NS[::2]))}")]
    command += ["train.steps=50000", "executor=here"]
    command = [word for word in command if word != "train.steps=24"]
    assert main(command) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "Adaptive: 4 runs to spend on 9 candidates."
    assert sum("runs spent. Next" in line for line in printed) == 2
    assert [*batches[0], *batches[1]] == [8, 56, 32, 44]
    assert json.loads(Path("runs/collapse.json").read_text())["alpha"] == pytest.approx(1.0, abs=0.05)
    edge = pd.read_csv("runs/phase_boundary.csv").set_index("step").loc[1000]
    assert edge["status"] == "bracketed"
    assert edge["n_star"] == pytest.approx(1000 / 30, rel=0.03)  # times are read off a grid
    assert {"collapse.png", "phase_diagram.svg", "phase_diagram.csv"} <= {
        p.name for p in Path("runs/figures").iterdir()
    }
    page = Path("runs/report.html").read_text()
    assert "Phase diagram: who memorizes when" in page
    assert "Collapse of the memorization curves" in page


@pytest.mark.slow
def test_tiny_runs_are_trained_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["sweep", *words("--adaptive", "--runs", "2", "data.n=8,10,12"), "executor=here"]
    command = ["train.steps=4" if word.startswith("train.steps=") else word for word in command]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert printed.count("complete, trained to step 4") == 2
    assert "0 of 2 runs spent. Next, the ends and a middle: n=8 W=4 seed 0, n=12 W=4 seed 0." in printed
    assert "2 of 2 runs spent." in printed
    assert "rise through 0.05" in json.loads(Path("runs/collapse.json").read_text())["refused"]
    assert not Path("runs/phase.csv").exists()
    assert "no phase diagram: the runs have 2 distinct n" in Path("runs/report.html").read_text()
    assert main(command) == 0  # again: both are found and nothing is trained
    assert "Nothing to do: every run of the sweep is over." in capsys.readouterr().out
