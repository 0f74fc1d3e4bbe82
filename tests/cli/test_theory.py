"""`diffmem theory`: what it writes, that the files hold the theory's numbers, and one sentence for bad input."""

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis.figures import theory as figures
from diffmem.cli.main import main
from diffmem.cli.theory import FIGURES
from diffmem.theory import tables
from diffmem.theory.dynamics import limit_curves
from diffmem.theory.model import Model
from diffmem.theory.spectrum import density

SMALL = ["d=40", "draws=1", "points=20", "psi_p=4", "psi_n=2"]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(what: str, *overrides: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table and the facts that one command writes into the default folder."""
    assert main(["theory", what, *overrides]) == 0
    folder = Path("runs/theory")
    assert sorted(path.name for path in folder.iterdir()) == [f"{what}.{end}" for end in ("csv", "json", "png", "svg")]
    return pd.read_csv(folder / f"{what}.csv"), json.loads((folder / f"{what}.json").read_text())


def test_every_figure_is_computed_and_drawn_under_its_name() -> None:
    for room in (tables, figures):
        functions = {
            name for name, value in inspect.getmembers(room, inspect.isfunction) if inspect.getmodule(value) == room
        }
        assert {name for name in functions if not name.startswith("_")} - {"write"} == set(FIGURES)


@pytest.mark.slow
@pytest.mark.parametrize("features", ["gaussian", "sampled"])
def test_spectrum(features: str, empty: Path) -> None:
    table, facts = run("spectrum", *SMALL, f"features={features}")
    curve = table[table["kind"] == "density"].iloc[::50]
    assert curve["density"].to_numpy() == pytest.approx(density(Model(psi_p=4, psi_n=2, t=0.1), curve["low"]), rel=1e-9)
    bars = table[table["kind"] == "simulation"]
    bands = table[table["kind"] == "band"]["density"].sum()
    assert (bars["density"] * (bars["high"] - bars["low"])).sum() == pytest.approx(bands, abs=0.05)
    assert facts["atom"]["mass"] == pytest.approx(0.25)


def test_curves(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, facts = run("curves", *SMALL, "covariance=levels")
    limit = table[table["kind"] == "limit"]
    expected = limit_curves(Model(psi_p=4, psi_n=2, t=0.1, cov=([0.5, 1.5], [0.5, 0.5])), limit["tau"])
    assert limit["test"].to_numpy() == pytest.approx(expected.test, rel=1e-9)
    simulated = table[table["kind"] == "simulation"]
    assert np.abs(simulated["train"].to_numpy() - limit["train"].to_numpy()[::4]).max() < 0.05
    assert f"tau_gen = {facts['tau_gen']:.4g}" in capsys.readouterr().out


@pytest.mark.slow
def test_timescales(empty: Path) -> None:
    table, facts = run("timescales", "psi_n_grid=[8,16]", "psi_p=64", "points=40", "t=0.01")
    assert list(table["family"]) == ["ratio", "ratio", "fixed", "fixed"]
    assert list(table["psi_p"]) == [32, 64, 64, 64]
    slope = np.log2(table["tau_mem"][1] / table["tau_mem"][0])
    assert facts["slopes"]["tau_mem"] == pytest.approx(slope)


@pytest.mark.slow
def test_predict_on_a_data_set(empty: Path) -> None:
    table, facts = run("predict", "digits", "n=[64,256]", "psi_p=4", "points=30")
    assert facts["d"] == 64
    times = pd.DataFrame(facts["times"])
    assert list(times["n"]) == [64, 256]
    assert (times["tau_mem"].diff().dropna() > 0).all()  # more images are memorized later
    assert set(table["n"]) == {64, 256}


@pytest.mark.slow
def test_a_covariance_of_data_and_of_a_power_law(empty: Path) -> None:
    run("curves", *SMALL, "draws=0", "covariance=data", "data=digits")
    run("curves", *SMALL, "covariance=power_law", "count=20", "exponent=1")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["spectrum", "psi=3"], "psi is no option: did you mean psi_p?"),
        (["spectrum", "psi_p=0"], "psi_p=0.0 is out of range"),
        (["spectrum", "t=0"], "t=0.0 is out of range"),
        (["curves", "activation=gelu"], "activation=gelu is not one of tanh, erf, sin, relu"),
        (["curves", "psi_p=1,2"], "names several values"),
        (["curves", "covariance=levels", "weights=[0.5,0.4]"], "sum to 1"),
        (["curves", "covariance=levels", "eigenvalues=[0,0]"], "cov is zero"),
        (["curves", "d=4000"], "use d=500 or less, or draws=0"),
        (["curves", "model=unet"], "model is no option"),
        (["predict", "faces"], "data=faces: data is one of"),
        (["predict", "digits", "n=[]"], "n=[] is empty"),
        (["spectrum", "out=taken"], "taken is a file where a directory is needed"),
    ],
)
def test_bad_input(words: list[str], message: str, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "taken").write_text("")
    assert main(["theory", *words]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1
    assert [path.name for path in empty.iterdir()] == ["taken"]
