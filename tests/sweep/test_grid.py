"""A sweep: each run once, whole, whatever happens to its worker; then fit, figures and report from what is there."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import pandas as pd
import pytest

from diffmem.cli.main import main
from diffmem.data import Dataset
from diffmem.errors import InputError
from diffmem.executors.pool import PRELOAD
from diffmem.store import RunDir
from diffmem.sweep.grid import plan_grid, run_all
from tests.helpers.tiny import OVERRIDES, tiny

GRID = [*(word for word in OVERRIDES if not word.startswith(("data.n=", "threads="))), "data.n=8,12", "out=runs"]


def test_planning_a_large_grid_makes_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dataset: Dataset, start: int, stop: int) -> NoReturn:
        raise AssertionError(f"images {start} to {stop} were made for a plan")

    monkeypatch.setattr(Dataset, "read", refuse)
    assert len(plan_grid(tiny(tmp_path, data={"n": 2 * n}) for n in range(300, 600))) == 300


@pytest.mark.slow
def test_an_interrupted_sweep_leaves_its_runs_at_resume_points(tmp_path: Path) -> None:
    words = [word for word in GRID if not word.startswith(("train.steps", "grid."))]
    command = [sys.executable, "-c", "import sys; from diffmem.cli.main import main; sys.exit(main())", "sweep"]
    command += [*words, "train.steps=100000", "grid.first=50000", "executor.workers=2"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sweep:
        runs: list[RunDir] = []
        for _ in range(6000):
            runs = [RunDir(path) for path in (tmp_path / "runs").glob("digits-*")]
            if len(runs) == 2 and all((run.read_status().get("step") or 0) > 5 for run in runs):
                break
            time.sleep(0.05)
        os.kill(sweep.pid, signal.SIGINT)
        out, _ = sweep.communicate(timeout=300)
    assert sweep.returncode == 130
    assert out.count("interrupted") == 2
    for run in runs:
        point = run.read_resume()
        assert point is not None
        assert point[0] > 5
        with run.lock():  # nobody is left working on it
            pass


@pytest.mark.slow
def test_sweep_fits_draws_reports_and_then_has_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", *GRID, "executor=here", "experiment=null"]) == 0
    printed = capsys.readouterr().out
    assert "nothing memorized by step 24" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    folder = tmp_path / "runs"
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        *("metrics.csv", "timescales.csv", "laws.json", "collapse.json", "report.html")
    }
    times = pd.read_csv(folder / "timescales.csv")
    assert times["n"].tolist() == [8, 12]
    assert times["tau_mem"].isna().all()
    assert set(times["tau_mem_status"]) == {"right"}
    laws = json.loads((folder / "laws.json").read_text())
    assert "refused" in laws["tau_mem"]
    assert "alpha" not in laws["tau_mem"]
    assert len(pd.read_csv(folder / "metrics.csv")) == 14
    assert {path.suffix for path in (folder / "figures").iterdir()} == {".png", ".svg", ".csv"}
    page = (folder / "report.html").read_text()
    assert not re.search(r"(src|href)=[\"']?https?:", page)

    owned = ("lock", "lease")  # who holds a run changes with every process
    files = [path for path in folder.rglob("*") if path.is_file() and not {path.name, path.parent.name} & set(owned)]
    before = {path: path.read_bytes() for path in files}
    assert main(["sweep", *GRID, "executor=here", "experiment=null"]) == 0
    assert "Nothing to do" in capsys.readouterr().out
    changed = [path.name for path, content in before.items() if path.read_bytes() != content]
    assert set(changed) <= {"status.json"}
    for verb in ("fit", "report"):
        assert main([verb, "runs"]) == 0
        assert "nothing memorized by step 24" in capsys.readouterr().out


def test_runs_are_planned_once_and_longest_first(tmp_path: Path) -> None:
    sizes = [8, 16, 8, 12]
    plans = plan_grid([tiny(tmp_path, data={"n": n}) for n in sizes])
    assert [planned.config.data.n for planned in plans] == [16, 12, 8]
    assert not any(tmp_path.iterdir())
    with pytest.raises(InputError, match="share one folder"):
        plan_grid([tiny(tmp_path / "a"), tiny(tmp_path / "b")])
    with pytest.raises(InputError, match="the grid is empty"):
        plan_grid([])


def test_a_failed_run_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    plans = plan_grid([tiny(tmp_path, data={"n": n}, train={"steps": 2}) for n in (8, 12)])
    (plans[0].run.path / "metrics.jsonl").mkdir(parents=True)
    results = run_all(plans, contextlib.nullcontext())
    assert [result.exit_code for result in results] == [1, 0]
    assert "no regular file" in results[0].sentence
    assert results[1].sentence == "complete, trained to step 2"


@pytest.mark.slow
def test_the_preload_list_names_modules_that_exist() -> None:
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    subprocess.run([sys.executable, "-c", code, *PRELOAD], check=True)
