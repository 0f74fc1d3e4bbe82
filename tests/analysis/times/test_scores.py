"""Times of the score on the mixture: near the population's, and turned to the training set's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis.figures.scores import score_curves, scores
from diffmem.analysis.tables.family import read_table
from diffmem.analysis.times.curves import Curve, family_curves, score_time
from diffmem.analysis.times.family import family_times, tau_gen, tau_mem
from diffmem.analysis.times.level import Level
from diffmem.cli.main import main
from diffmem.errors import InputError
from tests.helpers.families import as_family, curve, planted_rows, write_run

STEPS = [0, 100, 200, 400, 800, 1600]
TURNED = [0.6, 0.8, 0.4, -0.4, 0.0, -0.8]  # back at 0 once: the antitonic fit is -0.2 there


def with_scores(apart: list[float], lean: list[float]) -> Curve:
    return replace(curve(STEPS, [0] * 6), score_apart=np.array(apart), score_lean=np.array(lean), score_t=300)


def test_the_score_turns_where_its_monotone_fit_is_negative() -> None:
    reading = tau_mem(with_scores([2.0] * 6, TURNED), "score_turns")
    assert reading.points == (200, 400)
    assert reading.value == pytest.approx(200 * 2 ** (0.4 / 0.6))
    assert reading.notes == ("scores at t = 300",)
    assert tau_mem(with_scores([2.0] * 6, [0.5] * 6), "score_turns").status == "right"


def test_the_score_reaches_half_of_the_gap_at_first() -> None:
    apart = [2.0, 1.0, 0.6, 0.3, 0.7, 0.9]
    reading = tau_gen(with_scores(apart, TURNED), "score_reaches", level=Level(np.nan))
    assert reading.value == pytest.approx(200 * 2 ** (0.1 / 0.3))
    assert tau_gen(with_scores([0.9] * 6, TURNED), "score_reaches", level=Level(np.nan)).status == "right"


def test_scores_are_read_at_the_largest_time_or_the_one_asked_for() -> None:
    rows = pd.DataFrame({f"{name}_t{t}": [1.0] for name in ("R", "R2") for t in (300, 20, 100)})
    assert score_time(rows) == 300
    assert score_time(rows, 20) == 20
    assert score_time(rows, 50) == 300
    assert score_time(rows.drop(columns="R_t300")) == 100
    assert score_time(pd.DataFrame({"f_mem": [0.0]}), 20) is None


def planted_scores(n: int) -> pd.DataFrame:
    """R comes to 1/2 at step 150 for every n, R2 to 0 at 20 n."""
    rows = planted_rows(n, 30.0 * n, 150)
    step = np.maximum(rows["step"], 1)
    rows["R_t300"] = 0.3 + 0.2 * (150 / step) ** 0.5
    rows["R2_t300"] = -0.5 * np.tanh(np.log(step / (20 * n)))
    return rows


def test_their_times_stand_beside_the_others_and_follow_their_laws() -> None:
    family = as_family(*map(planted_scores, (16, 32, 64)))
    times = family_times(family, n_boot=0)
    assert set(times["tau_mem_definition"]) == {"fmem_crosses"}
    assert set(times["score_t"]) == {300}
    np.testing.assert_allclose(times["score_turns"], 20 * times["n"], rtol=0.02)
    np.testing.assert_allclose(times["score_reaches"], 150, rtol=0.02)
    chosen = family_times(family, n_boot=0, mem="score_turns", gen="score_reaches")
    assert chosen["tau_mem"].tolist() == times["score_turns"].tolist()
    assert chosen["tau_gen"].tolist() == times["score_reaches"].tolist()


def test_a_run_without_scores_beside_one_that_has_some() -> None:
    times = family_times(as_family(planted_scores(16), planted_rows(32, 960, 150)), n_boot=0)
    assert times["score_turns_status"].tolist() == ["reached", "refused"]
    (bare,) = family_curves(as_family(planted_rows(32, 960, 150)))
    assert "score_turns" not in family_times(as_family(planted_rows(32, 960, 150)), n_boot=0)
    for read, name in ((tau_mem, "score_turns"), (tau_gen, "score_reaches")):
        with pytest.raises(InputError, match="no R and R2"):
            read(bare, name)


def test_the_figure_marks_them_at_the_diffusion_time_they_are_read_at() -> None:
    rows = pd.concat([planted_scores(n).assign(R_t20=0.1, R2_t20=0.9) for n in (16, 32)], ignore_index=True)
    times = family_times(as_family(rows), n_boot=0)
    figure = scores(rows, times)
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["$t = 20$", "$t = 300$"]
    marks = [[line for line in axes.get_lines() if line.get_marker() in ("o", "D")] for axes in figure.axes]
    assert [len(found) for found in marks] == [0, 2, 0, 2]
    drawn = [float(np.asarray(line.get_xdata()).item()) for line in marks[3]]
    assert drawn == times["score_turns"].tolist()
    table = score_curves(rows)
    assert set(table["t"]) == {20, 300}
    assert table.loc[table["t"] == 300, "R2"].tolist() == rows["R2_t300"].tolist()


def test_a_mixture_is_fitted_drawn_reported_and_advised_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """R2 is negative once the score has turned: such rows are what the experiment is for."""
    tables = [planted_scores(n) for n in (16, 32, 64, 128)]
    assert all((rows["R2_t300"] < 0).any() for rows in tables)
    for rows in tables:
        write_run(tmp_path / "runs", rows)
    family, out = str(tmp_path / "mine.csv"), str(tmp_path / "out")
    pd.concat(tables).to_csv(family, index=False)
    assert main(["fit", str(tmp_path / "runs"), "--mem", "score_turns", "--gen", "score_reaches"]) == 0
    assert "tau_mem ~ n^1.0" in capsys.readouterr().out
    assert main(["figures", family, "scores", "--out", out]) == 0
    assert main(["report", family, "--out", out]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'id="figure-scores"' in page
    assert "R2 &lt; 0" in page
    assert main(["advise", str(tmp_path / "runs" / "n64-w16-s0")]) == 0


def test_what_must_not_be_negative_is_still_refused(tmp_path: Path) -> None:
    planted_scores(16).assign(R_t300=-0.1).to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(InputError, match=r"R_t300=-0\.1 of run n16-w16-s0 at step 0 is negative"):
        read_table(tmp_path / "bad.csv")
