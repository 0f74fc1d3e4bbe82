"""Predictions of a time: the textbook's without censoring, intervals that cover, and advice that follows from them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from diffmem.analysis.laws.prediction import leave_one_n_out, predict, typical_factor
from diffmem.analysis.laws.scaling import LawRefused
from diffmem.cli.main import main
from tests.helpers.families import planted_rows, write_run

NS = np.array([16, 24, 32, 48, 64, 96, 128, 192])


def times(n: np.ndarray, tau: np.ndarray, status: list[str] | None = None, width: float = 16) -> pd.DataFrame:
    """The columns of timescales.csv that predictions read; `tau` of a censored run is its last step."""
    words = np.array(status or ["reached"] * len(n))
    return pd.DataFrame(
        {
            "run": [f"n{one}-{place}" for place, one in enumerate(n)],
            "n": n,
            "width": width,
            "tau_mem": np.where(words == "reached", tau, np.nan),
            "tau_mem_status": words,
            "tau_mem_bound": np.where(words == "reached", 1e6, tau),
        }
    )


def planted(rng: np.random.Generator, n: np.ndarray, scatter: float = 0.2) -> np.ndarray:
    return np.asarray(25.0 * n * np.exp(scatter * rng.standard_normal(len(n))))


def test_without_censoring_it_is_the_textbooks_prediction_interval() -> None:
    tau = planted(np.random.default_rng(1), NS)
    predicted = predict(times(NS, tau), "tau_mem", n=300, width=16)
    x, y = np.log(NS), np.log(tau)
    slope, offset = np.polyfit(x, y, 1)
    s2 = ((y - offset - slope * x) ** 2).sum() / (len(x) - 2)
    at = np.log(300.0)
    error = np.sqrt(s2 * (1 + 1 / len(x) + (at - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()))
    half = student.ppf(0.975, len(x) - 2) * error
    np.testing.assert_allclose(
        np.log([predicted.value, predicted.low, predicted.high]),
        offset + slope * at + np.array([0, -half, half]),
        rtol=1e-6,
    )
    assert (predicted.dof, predicted.n_reached, predicted.extrapolated, predicted.surprise) == (6, 8, True, 1.0)
    assert not predict(times(NS, tau), "tau_mem", n=100, width=16).extrapolated


@pytest.mark.slow
@pytest.mark.parametrize("runs", [4, 8])
def test_intervals_cover_a_run_at_another_n_also_after_a_first_part(runs: int) -> None:
    rng = np.random.default_rng(runs)
    hits, later = [], []
    for _ in range(400):
        known = times(NS[:runs], planted(rng, NS[:runs]))
        (truth,) = planted(rng, np.array([256]))
        predicted = predict(known, "tau_mem", n=256, width=16)
        hits.append(predicted.low <= truth <= predicted.high)
        if truth > predicted.value:  # half of the runs have not memorized by the predicted median
            after = predict(known, "tau_mem", n=256, width=16, after=predicted.value)
            later.append(after.low <= truth <= after.high)
            assert after.low > predicted.value
            assert after.surprise == pytest.approx(0.5)
    for covered in (hits, later):
        assert abs(np.mean(covered) - 0.95) < 4 * np.sqrt(0.95 * 0.05 / len(covered))
    assert len(later) > 160


def test_what_is_censored_in_other_runs_counts() -> None:
    tau = 25.0 * NS
    status = ["reached"] * 6 + ["right"] * 2
    bounded = predict(times(NS, np.where(NS > 96, 40.0 * NS, tau), status), "tau_mem", n=256, width=16)
    dropped = predict(times(NS[:6], tau[:6]), "tau_mem", n=256, width=16)
    assert dropped.value == pytest.approx(25 * 256, rel=1e-3)
    assert bounded.value > 1.2 * dropped.value


def test_nothing_known_and_a_bound_long_past_are_the_same() -> None:
    known = times(NS, planted(np.random.default_rng(0), NS))
    plain, early = (predict(known, "tau_mem", n=64, width=16, after=after) for after in (0.0, 1.0))
    assert (early.low, early.value, early.high) == pytest.approx((plain.low, plain.value, plain.high), rel=1e-3)


def test_too_little_is_refused_and_another_width_too() -> None:
    with pytest.raises(LawRefused, match="2 of 2 runs reached it"):
        predict(times(NS[:2], 25.0 * NS[:2]), "tau_mem", n=64, width=16)
    with pytest.raises(LawRefused, match="all have W = 16, and this one W = 32"):
        predict(times(NS, 25.0 * NS), "tau_mem", n=64, width=32)


def test_scores_use_nothing_of_the_n_they_predict() -> None:
    rng = np.random.default_rng(3)
    n = np.repeat(NS, 3)
    known = times(n, planted(rng, n))
    scores = leave_one_n_out(known)
    assert len(scores) == 24
    assert 1.15 < typical_factor(scores) < 1.35
    moved = known.assign(tau_mem=np.where(known["n"] == 64, 100 * known["tau_mem"], known["tau_mem"]))
    same = leave_one_n_out(moved)
    at = scores["n"] == 64
    np.testing.assert_array_equal(scores.loc[at, "predicted"], same.loc[at, "predicted"])
    assert not same.loc[at, "covered"].any()
    assert (scores.loc[~at, "predicted"] != same.loc[~at, "predicted"]).all()
    assert np.isnan(typical_factor(leave_one_n_out(known[known["n"] < 20])))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for n in (16, 32, 64, 128, 256):
        write_run(tmp_path, planted_rows(n, 20.0 * n, 150, rng=np.random.default_rng(n)))
    return tmp_path


def test_advice_from_the_first_part_of_a_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(folder / "n256-w16-s0")
    before = sorted(path.name for path in folder.rglob("*"))
    assert main(["advise", run, "--at", "1000"]) == 0
    said = capsys.readouterr().out
    # the planted time is 5120
    assert "n256-w16-s0 at step 889" in said
    assert "tau_mem: > 889 (not reached); predicted 5," in said
    assert "from 4 other runs" in said
    assert "beyond the n and W they cover" in said
    assert "stop before tau_bias, when samples lean towards the training images" in said
    stop = int(said.rsplit("Stop by step ", 1)[1].rstrip(".\n").replace(",", ""))
    assert 889 < stop < 1280  # the planted tau_bias
    assert "all runs of 4 of 4 values of n inside their interval" in said
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_advice_when_it_is_time_and_when_it_is_too_late(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(folder / "n256-w16-s0")
    assert main(["advise", run, "--at", "1190"]) == 0
    assert "Stop now: samples may lean" in capsys.readouterr().out
    assert main(["advise", run]) == 0
    assert (
        "It leans towards its training images: the last measured checkpoint before the interval"
        in capsys.readouterr().out
    )


def test_advice_without_p_train_is_on_copies_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for n in (16, 32, 64, 128, 256):
        rows = planted_rows(n, 20.0 * n, 150, rng=np.random.default_rng(n))
        write_run(tmp_path, rows.drop(columns=[name for name in rows if str(name).startswith("p_train")]))
    run = str(tmp_path / "n256-w16-s0")
    assert main(["advise", run, "--at", "1000"]) == 0
    said = capsys.readouterr().out
    assert "stop before tau_mem, when samples are copies: p_train was not measured" in said
    assert "tau_bias" not in said
    stop = int(said.rsplit("Stop by step ", 1)[1].rstrip(".\n").replace(",", ""))
    assert 889 < stop < 5120
    assert main(["advise", run, "--at", "5000"]) == 0
    assert "Stop now" in capsys.readouterr().out
    assert main(["advise", run]) == 0
    assert "checkpoint before the interval of that time begins is step 3,749." in capsys.readouterr().out


def test_advice_without_a_family_says_why_there_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path, planted_rows(64, 1e7, 150))
    assert main(["advise", str(tmp_path / "n64-w16-s0")]) == 0
    said = capsys.readouterr().out
    assert "tau_mem cannot be predicted" in said
    assert said.endswith("No advice on when to stop: see above.\n")


def test_bad_input_of_advise(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["advise", str(folder)]) == 2
    assert "no run directory" in capsys.readouterr().err
    assert main(["advise", str(folder / "n64-w16-s0"), "--at", "-1"]) == 2
    assert "--at: -1 is out of range" in capsys.readouterr().err
