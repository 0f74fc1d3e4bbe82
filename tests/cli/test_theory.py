"""`diffmem theory`: what it writes, that the files hold the theory's numbers, and one sentence for bad input."""

import dataclasses
import importlib
import inspect
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis.figures import theory as figures
from diffmem.cli.main import main
from diffmem.cli.theory import FIGURES
from diffmem.config.compose import compose_theory
from diffmem.config.theory import TheoryConfig
from diffmem.runs import load_run
from diffmem.theory import tables
from diffmem.theory.dynamics import limit_curves
from diffmem.theory.model import Model
from diffmem.theory.spectrum import density
from diffmem.theory.validity import ValidityWarning
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers.tiny import tiny

SMALL = ["d=40", "draws=1", "points=20", "psi_p=4", "psi_n=2"]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(what: str, *overrides: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table and the facts that one command writes into the default folder."""
    assert main(["theory", what, *overrides]) == 0
    (folder,) = Path("runs/theory").iterdir()
    assert folder.name.startswith(f"{what}-")
    assert sorted(path.name for path in folder.iterdir()) == [f"{what}.{end}" for end in ("csv", "json", "png", "svg")]
    return pd.read_csv(folder / f"{what}.csv"), json.loads((folder / f"{what}.json").read_text())


def test_every_figure_is_computed_and_drawn_under_its_name() -> None:
    for place, (package, besides) in enumerate(
        (("diffmem.theory", set()), ("diffmem.analysis.figures", {"write", "warn"}))
    ):
        for module in {modules[place] for modules in FIGURES.values()}:
            room = importlib.import_module(f"{package}.{module}")
            functions = {
                name for name, value in inspect.getmembers(room, inspect.isfunction) if inspect.getmodule(value) == room
            }
            named = {what for what, modules in FIGURES.items() if modules[place] == module}
            assert {name for name in functions if not name.startswith("_")} - besides == named


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


@pytest.mark.filterwarnings("always::diffmem.theory.validity.ValidityWarning")
@pytest.mark.slow
def test_predict_on_a_data_set(empty: Path) -> None:
    table, facts = run("predict", "digits", "n=[64,256]", "psi_p=4", "points=30")
    assert facts["d"] == 64
    times = pd.DataFrame(facts["times"])
    assert list(times["n"]) == [64, 256]
    assert (times["tau_mem"].diff().dropna() > 0).all()  # more images are memorized later
    assert set(table["n"]) == {64, 256}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::diffmem.theory.validity.ValidityWarning")
def test_overlay_of_runs(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n in (8, 12):
        settings: dict[str, Any] = {"data": {"n": n}, "diffusion": {"T": 1000}, "eval": {"t": [200, 300, 400]}}
        execute(plan(tiny(empty / "runs/mine", **settings)))
    table, facts = run("overlay", str(empty / "runs/mine"), "psi_p=1.5", "points=20")
    assert set(table["kind"]) == {"limit", "features", "network"}
    measured = pd.concat([load_run(path).metrics() for path in sorted((empty / "runs/mine").iterdir())])
    shown = table[table["kind"] == "network"]
    later = measured[measured["step"] > 0]
    assert sorted(shown["test"]) == pytest.approx(sorted(later["loss_test_t300"]))
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 2e-2, 1000))[300]
    assert facts["t"] == pytest.approx(-np.log(alpha_bar) / 2, rel=1e-4)
    assert "networks are off the limit in train by up to" in capsys.readouterr().out
    assert main(["theory", "overlay", str(empty / "runs/mine"), "at=20"]) == 2
    assert "at=20 is no diffusion time of the losses" in capsys.readouterr().err


def test_score_error(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, facts = run("score_error", "psi_p=4", "psi_n_grid=[2,4,8]", "draws=1", "d=30", "points=20")
    assert set(table["psi_n"]) == {2, 4, 8}
    assert f"limit psi_n^{facts['powers']['limit']['exponent']:.3f}" in capsys.readouterr().out


@pytest.mark.filterwarnings("always::diffmem.theory.validity.ValidityWarning")
def test_a_power_law_is_warned_of_in_words_facts_and_figure(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = run("curves", *SMALL, "covariance=power_law", "count=20", "exponent=1")[1]
    printed = capsys.readouterr()
    warning = facts["validity"]["warning"]
    assert f"diffmem: warning: {warning}" in printed.err
    assert f"off by up to {100 * facts['simulated_error']:.2g}%" in printed.out
    svg = next(empty.glob("runs/theory/*/curves.svg")).read_text()
    assert "directions dominate the data" in svg
    assert "sampled features, seed 0" in svg
    assert "power law 1 of 20" in svg


def test_draws_take_the_dimensions_of_the_data() -> None:
    assert compose_theory(["covariance=power_law", "count=20"]).dimensions == 20
    assert compose_theory(["covariance=data", "data=digits"]).dimensions == 64
    assert compose_theory(["psi_p=8"]).dimensions == compose_theory(["psi_p=8", "covariance=levels"]).dimensions == 300


@pytest.mark.slow
def test_a_covariance_of_data(empty: Path) -> None:
    with pytest.warns(ValidityWarning):
        tables.curves(compose_theory([*SMALL, "draws=0", "covariance=data", "data=digits"]))


def test_other_settings_take_another_folder(empty: Path) -> None:
    for words in (["psi_n=2"], ["psi_n=1"], ["psi_n=2"]):
        assert main(["theory", "curves", "draws=0", "points=12", "psi_p=4", *words]) == 0
    assert len(list(Path("runs/theory").iterdir())) == 2


def test_the_keys_are_shown(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["theory", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{entry.name}=" in shown for entry in dataclasses.fields(TheoryConfig))
    for words in (["--cfg", "psi_p=3"], ["--cfg", "curves", "psi_p=3"], ["curves", "psi_p=3", "--cfg"]):
        assert main(["theory", *words]) == 0
        assert "\npsi_p: 3.0\n" in capsys.readouterr().out
    assert main(["sweep", "--cfg", "data.n=16,32"]) == 0
    assert "# grid: data.n=16,32\n" in capsys.readouterr().out
    assert list(empty.iterdir()) == []


def facts_of(psi_n: float) -> dict[str, Any]:
    settings = compose_theory([f"psi_n={psi_n}"]).to_mapping()
    return {"settings": settings, "validity": {"warning": None}, "atom": {"mass": 0.0, "location": 0.01}}


def test_labels_of_close_bands_stand_apart() -> None:
    edges = {"low": (1.0, 1.1), "bulk1": (1.12, 1.2), "bulk2": (1.22, 1.4)}
    rows = [("band", part, *ends, 0.1) for part, ends in edges.items()]
    rows += [("density", part, x, x, 0.2) for part, ends in edges.items() for x in np.linspace(*ends, 5)]
    table = pd.DataFrame(rows, columns=["kind", "part", "low", "high", "density"])
    for psi_n, words in ((3, "generalization"), (0.5, "training points")):
        figure = figures.spectrum(table, facts_of(psi_n))
        texts = [text for text in figure.axes[0].texts if "eigenvalues" in text.get_text()]
        boxes = [text.get_window_extent() for text in texts]
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
        assert max(box.y1 for box in boxes) <= figure.axes[0].get_window_extent().y1
        assert words in texts[-1].get_text()


@pytest.mark.parametrize(("gen", "mem"), [(2.0, 2.2), (2.2, 2.0), (None, 2.0)])
def test_labels_of_the_times_stand_apart(gen: float | None, mem: float) -> None:
    tau = np.geomspace(0.1, 100, 20)
    table = pd.DataFrame({"tau": tau, "train": 1.0, "test": 1.0, "kind": "limit", "draw": -1})
    figure = figures.curves(table, facts_of(3) | {"tau_gen": gen, "tau_mem": mem})
    texts = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(texts) == 2 - (gen is None)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(texts, 2))


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
        (["curves", "d=4000"], "use d=800 or less, or draws=0"),
        (["spectrum", "psi_p=1e4", "psi_n=1e4"], "which takes about 429 GiB"),
        (["curves", "psi_p=4", "psi_n=1e4", "d=1000"], "which takes about 597 GiB"),
        (["predict", "digits", "n=[1e12]"], "n=1000000000000 is out of range"),
        ([], "give spectrum, curves, timescales, predict, score_error, overlay first"),
        (["spectra"], "spectra is no figure of the theory"),
        (["curves", "model=unet"], "model is no option"),
        (["predict", "faces"], "data=faces: data is one of"),
        (["predict", "digits", "n=[]"], "n=[] is empty"),
        (["spectrum", "out=taken"], "taken is a file where a directory is needed"),
        (["overlay"], "overlay needs a folder of runs"),
        (["overlay", "nowhere"], "nowhere"),
        (["score_error", "psi_p=100", "psi_n_grid=[1,100]", "d=100"], "simulates 10000 features and 10000 points"),
    ],
)
def test_bad_input(words: list[str], message: str, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "taken").write_text("")
    assert main(["theory", *words]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1
    assert [path.name for path in empty.iterdir()] == ["taken"]


@pytest.mark.filterwarnings("ignore::diffmem.theory.validity.ValidityWarning")
def test_it_says_what_it_computes(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["theory", "curves", *SMALL, "draws=2", "d=20"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "the losses at 20 training times"
    assert [line.partition(":")[0] for line in told[1:]] == ["simulated draw 1 of 2", "simulated draw 2 of 2"]
    assert main(["theory", "predict", "digits", *SMALL, "n=[64,128]"]) == 0
    assert "the losses for n = 128: 2 of 2" in capsys.readouterr().err
