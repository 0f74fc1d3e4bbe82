"""`diffmem study`: what there is, a tiny run of every figure read back, tables read as they are, bad input."""

from pathlib import Path

import pandas as pd
import pytest

from diffmem.cli.main import main
from diffmem.config.study import read_study, study_names
from tests.helpers.families import planted_rows

TABLE = Path(__file__).resolve().parents[2] / "docs" / "data" / "digits_law.csv"
TINY = [
    *("data.n=8", "seed=0", "data.index=0", "model.width=4", "train.steps=3", "train.batch=4", "grid.first=1"),
    *("sampler.calls=2", "eval.samples=128", "eval.test_images=64", "eval.loss_draws=64", "eval.bootstrap=10"),
    *("stop.f_mem=null", "threads=1", "executor=here"),
]
UNET = ["model.groups=2", "model.multipliers=[1]"]


def test_without_a_figure_it_lists_them_with_their_claims(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study"]) == 0
    printed = capsys.readouterr().out
    for name in study_names():
        study = read_study(name)
        assert f"{name}: {study.title}" in printed
        assert all(claim.words in printed for claim in study.claims.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", study_names())
def test_every_figure_trains_three_steps_and_is_read_back(name: str, empty: Path) -> None:
    """Its last arm; the others are read from a table that is there."""
    study = read_study(name)
    *others, last = study.reduced
    losses = {f"{name}_t{t}": 0.1 for name in ("R", "R2", "loss_train", "loss_test") for t in (100, 300)}
    planted_rows(16, 300, 100).assign(**losses).to_csv("planted.csv", index=False)
    there = [word for arm in others for word in ("--from", f"{arm}=planted.csv")]
    network = [] if "mixture" in str(study.reduced[last]) else UNET
    assert main(["study", name, *TINY, *network, *there]) == 0
    folder = Path("runs/study") / name / "reduced"
    assert len(list((folder / last).glob("*/metrics.jsonl"))) == 1
    table = pd.read_csv(folder / "claims.csv")
    assert list(table["claim"]) == [claim.words for claim in study.claims.values()]
    assert (folder / "figure.png").stat().st_size > 1000
    assert (folder / "figure.csv").stat().st_size > 0


@pytest.mark.slow
def test_a_table_that_is_there_is_read_and_nothing_is_run(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "fig2", "--from", str(TABLE), "--out", "read"]) == 0
    assert sorted(path.name for path in Path("read").iterdir()) == [
        "claims.csv",
        "figure.csv",
        "figure.png",
        "figure.svg",
    ]
    assert "tau_mem ~ n^alpha: copies come in proportion to n: published 1, ours 1.36" in capsys.readouterr().out


def test_a_dry_run_costs_every_arm_and_writes_nothing(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "fig2", "--dry-run", *TINY, *UNET, "executor.tflops=1"]) == 0
    assert "family: 1 run in runs/study/fig2/reduced/family, longest first: 1 new." in capsys.readouterr().out
    assert list(empty.iterdir()) == []


BAD = [
    (["fig22"], "fig22 is no figure of the study: did you mean fig2?"),
    (["fig2", "--from", "missing.csv"], "--from missing.csv: there is no missing.csv"),
    (["fig2", "--from", "other=."], "--from other=. names no arm of fig2: write family=PATH"),
    (["fig2", "out=runs/mine"], "out=runs/mine is not for a study, whose arms have theirs"),
    (["fig2", "--from", ".", "seed=3"], "seed=3 changes runs, and every arm of fig2 is read by --from"),
    (["fig2", "--devices", "2"], "--devices is for a dry run"),
    (["fig2", "data.m=3"], "data.m is no option: did you mean data.n?"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_input(words: list[str], sentence: str, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err
    assert len(printed.err.splitlines()) == 1
    assert list(empty.iterdir()) == []
