"""A family in Python: one table, fits, every figure, and the README's lines as they stand."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import diffmem
from diffmem.analysis import pipeline
from diffmem.errors import InputError
from tests.helpers.compare_targets import trained
from tests.helpers.families import planted_rows, write_run

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("family") / "mine.csv"
    tables = [planted_rows(n, 30.0 * n, 150, rng=np.random.default_rng(n)) for n in (16, 32, 64, 128)]
    pd.concat(tables).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def found(table: Path) -> diffmem.Fit:
    return diffmem.fit(table)


def test_a_family_is_one_table_with_the_times_of_each_run(table: Path, found: diffmem.Fit) -> None:
    whole = diffmem.load_family(table)
    assert len(whole) == len(found.rows)
    pd.testing.assert_frame_equal(whole[list(found.rows)], found.rows)
    times = found.times.set_index("run")
    for name in ("tau_mem", "tau_gen_status", "tau_bias_low"):
        assert whole[name].tolist() == times[name].loc[whole["run"]].tolist()
    assert not [name for name in whole if str(name).endswith(("_x", "_y"))]


def test_a_fit_is_what_the_command_line_says(table: Path, found: diffmem.Fit, tmp_path: Path) -> None:
    fitted = pipeline.fit(table)
    assert found.sentence == fitted.sentence
    assert found.laws == fitted.laws
    assert found.warnings == fitted.family.warnings
    assert found.save(tmp_path / "out") == tmp_path / "out"
    assert (tmp_path / "out" / "timescales.csv").is_file()
    assert found.report(tmp_path / "page").read_text().startswith("<!DOCTYPE html>")
    chosen = diffmem.fit(table, gen="quality_settles", level=1.4)
    assert set(chosen.times["tau_gen_definition"]) == {"quality_settles"}


def test_every_figure_is_drawn_and_shows_itself(found: diffmem.Fit) -> None:
    assert {"times_vs_n", "bias_and_memorization", "memorization_and_quality", "phase_diagram"} <= set(found.figures)
    for name in found.figures:
        picture = found.draw(name)
        assert picture._repr_png_().startswith(b"\x89PNG")
        assert len(picture.data)
    with pytest.raises(InputError, match="figure 'law' is not one of those these runs have: times_vs_n"):
        found.draw("law")


def test_bad_choices(table: Path) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'mom': it takes data, mem, gen"):
        diffmem.fit(table, mom="fmem_half")
    with pytest.raises(InputError, match="tau_mem definition 'fid'"):
        diffmem.fit(table, mem="fid")
    with pytest.raises(InputError, match="nowhere"):
        diffmem.load_family("nowhere")


def test_it_is_shown_in_a_notebook_and_escaped(tmp_path: Path) -> None:
    rows = [planted_rows(n, 30.0 * n, 150).assign(run=f"<b>{n}") for n in (16, 32, 64)]
    pd.concat(rows).to_csv(tmp_path / "mine.csv", index=False)
    shown = diffmem.fit(tmp_path / "mine.csv")._repr_html_()
    assert shown.startswith("<p>from n = 16 to 64 tau_mem ~ n^")
    assert "&lt;b&gt;16" in shown
    assert "<b>" not in shown


def test_the_readme_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a folder of the quickstart's name with a run of 64 images, trained for a few steps."""
    monkeypatch.chdir(tmp_path)
    trained(Path("runs/quickstart"), data={"n": 64})
    blocks = re.findall(r"```python\n(import diffmem\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(blocks[0], names)
    assert names["nearest"] is not None
    assert [path.name for path in (tmp_path / "runs" / "quickstart").iterdir()] == [names["run"].path.name]  # type: ignore[attr-defined]


def test_runs_are_found_by_what_tells_them_apart(tmp_path: Path) -> None:
    for n, seed in ((16, 0), (16, 1), (32, 0)):
        write_run(tmp_path / "fam", planted_rows(n, 300, 150, seed=seed))
    with pytest.raises(InputError, match=r"is a folder of 3 runs and no run itself: use load_runs\('.*fam'\), or name"):
        diffmem.load_run(tmp_path / "fam")
    with pytest.raises(InputError, match="no run directory"):
        diffmem.load_run(tmp_path)
