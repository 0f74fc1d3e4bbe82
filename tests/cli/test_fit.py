"""`diffmem fit`, `figures` and `report` of tables: where what they write goes, and bad choices, which write nothing."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis.times.tau_gen import GEN_DEFINITIONS
from diffmem.analysis.times.tau_mem import MEM_DEFINITIONS
from diffmem.cli.main import main
from tests.helpers.families import planted_rows, write_run


def test_a_csv_without_a_suffix_is_read_and_left_alone(empty: Path) -> None:
    planted_rows(16, 400, 150).to_csv(empty / "mine", index=False)
    assert main(["fit", "mine"]) == 0
    assert (empty / "mine").is_file()
    assert (empty / "runs" / "fit" / "mine" / "laws.json").is_file()


@pytest.mark.parametrize("name", ["laws.json", "report.html", "figures/times_vs_n.png"])
def test_a_folder_in_the_place_of_a_file_is_found_first(
    name: str, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted_rows(16, 400, 150).to_csv(empty / "mine.csv", index=False)
    (empty / "out" / name).mkdir(parents=True)
    before = sorted(empty.rglob("*"))
    assert main(["report", "mine.csv", "--out", "out"]) == 2
    assert Path(name).name in capsys.readouterr().err
    assert sorted(empty.rglob("*")) == before


@pytest.mark.slow
def test_a_family_in_a_csv_is_fitted_and_drawn(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = [planted_rows(n, 30.0 * n, 150, rng=np.random.default_rng(n)) for n in (16, 32, 64, 128)]
    pd.concat(tables).to_csv(empty / "mine.csv", index=False)
    assert main(["fit", "mine.csv", "--gen", "quality_settles"]) == 0
    place = empty / "runs" / "fit" / "mine"
    assert json.loads((place / "laws.json").read_text())["tau_gen"]["definition"] == "quality_settles"
    assert capsys.readouterr().out.startswith("from n = ")
    assert main(["figures", "mine.csv", "times_vs_n", "--out", "drawn"]) == 0
    assert {path.name for path in (empty / "drawn" / "figures").iterdir()} == {
        f"times_vs_n.{form}" for form in ("png", "svg", "csv")
    }
    assert main(["report", "mine.csv", "--out", "page"]) == 0
    assert (empty / "page" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mem", "fid"], "tau_mem definition 'fid' is not one of fmem_crosses"),
        (["--gen", "fid"], "tau_gen definition 'fid' is not one of quality_reaches"),
        (["--level", "-1"], "level=-1.0 is no level"),
        (["--quality", "fid"], "quality=fid is no column"),
        (["--loss-t", "7"], "loss_t=7: the table has no losses"),
    ],
)
def test_bad_choices_of_a_fit_write_nothing(
    words: list[str], said: str, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted_rows(16, 400, 150).to_csv(empty / "mine.csv", index=False)
    assert main(["fit", "mine.csv", *words]) == 2
    assert said in capsys.readouterr().err
    assert main(["figures", "mine.csv", "law"]) == 2
    assert "figure 'law' is not one of those these runs have: times_vs_n" in capsys.readouterr().err
    assert [path.name for path in empty.iterdir()] == ["mine.csv"]


def test_nothing_is_written_into_a_run_by_a_fit_of_it_alone(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(empty / "mine", planted_rows(16, 400, 150))
    before = sorted(run.path.rglob("*"))
    assert main(["fit", str(run.path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("one run, n = 16: tau_gen ")
    assert said[1] == f"Tables: runs/fit/{run.name}"
    assert sorted(run.path.rglob("*")) == before
    assert (empty / "runs" / "fit" / run.name / "timescales.csv").is_file()


def test_help_names_every_definition(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--help"]) == 0
    said = capsys.readouterr().out
    assert f"definitions of tau_mem: {', '.join(MEM_DEFINITIONS)}" in said
    assert f"definitions of tau_gen: {', '.join(GEN_DEFINITIONS)}" in said
