"""The figures of collapse and phases: what is drawn is what the CSV holds, and every kind of boundary can be told."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from diffmem.analysis.figures.collapse import collapse, collapse_rows
from diffmem.analysis.figures.files import save
from diffmem.analysis.figures.phase import LOOKS, phase_diagram, phase_rows
from tests.helpers.picture_tables import family

FIT: dict[str, Any] = {"alpha": 1.02, "low": 0.9, "high": 1.14, "beta": None, "beta_low": None, "beta_high": None}
FIT |= {"score": 0.07, "level_low": 0.05, "level_high": 0.8}


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(Text))


def tables(widths: tuple[int, ...] = (16,)) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Phases of three n in two replicates that disagree at n = 32, and one boundary of each kind."""
    of_n = {16: ("memorizing", "memorizing"), 32: ("memorizing", "generalizing"), 64: ("untrained", "unknown")}
    kinds = [(100, np.nan, 0.0, 16.0, "below"), (200, 30.0, 20.0, 45.0, "bracketed")]
    kinds += [(500, np.nan, 32.0, 64.0, "between"), (1000, np.nan, 64.0, np.inf, "above")]
    kinds += [(2000, np.nan, np.nan, np.nan, "unknown")]
    phases = [
        {"step": kind[0], "n": n, "width": width, "phase": phase, "seed": seed, "run": f"n{n}-w{width}-s{seed}"}
        for kind in kinds
        for width in widths
        for n, both in of_n.items()
        for seed, phase in enumerate(both)
    ]
    names = ("step", "n_star", "low", "high", "status")
    edges = [dict(zip(names, kind, strict=True)) | {"width": width} for kind in kinds for width in widths]
    return pd.DataFrame(phases), pd.DataFrame(edges)


def cells(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_cells_have_the_colours_and_shares_of_their_phases() -> None:
    phases, edges = tables()
    (axes,) = phase_diagram(phases, edges).axes
    row = sorted((cell for cell in cells(axes) if abs(cell.get_y() + 0.46) < 1e-9), key=lambda cell: cell.get_x())
    names = ["memorizing", "memorizing", "generalizing", "untrained", "unknown"]
    assert [to_rgb(cell.get_facecolor()) for cell in row] == [to_rgb(LOOKS[name]["facecolor"]) for name in names]
    widths = [cell.get_width() for cell in row]
    np.testing.assert_allclose(widths, np.log(2) * np.array([1, 0.5, 0.5, 0.5, 0.5]))
    np.testing.assert_allclose(row[0].get_x() + widths[0] / 2, np.log(16))
    assert len(cells(axes)) == 5 * 5


def test_every_kind_of_boundary_can_be_told() -> None:
    phases, edges = tables()
    figure = phase_diagram(phases, edges)
    said = words(figure)
    for part in ("≤ 16", "= 30 [20, 45]", "lies between 32 and 64", "≥ 64", "unknown", "memorizing", "untrained"):
        assert part in said
    (axes,) = figure.axes
    upright = [line for line in axes.get_lines() if len(set(np.asarray(line.get_xdata()))) == 1]
    marks = {
        round(float(np.exp(np.asarray(line.get_xdata())[0])), 6) for line in upright if line.get_color() != "white"
    }
    assert 30.0 in marks
    arrows = {line.get_marker(): np.asarray(line.get_xdata())[0] for line in axes.get_lines()}
    assert np.exp([arrows["<"], arrows[">"]]) == pytest.approx([16, 64])  # from the bound outwards
    assert "|" in arrows
    assert "2,000" in [text.get_text() for text in axes.get_yticklabels()]


def test_several_widths_have_a_panel_for_each_of_a_few_steps() -> None:
    figure = phase_diagram(*tables((8, 16, 32)))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title.split("= ")[1] for title in titles] == ["100 steps", "200 steps", "1,000 steps", "2,000 steps"]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["8", "16", "32"]


@pytest.mark.slow
@pytest.mark.parametrize("widths", [(16,), (8, 16)])
def test_phase_figure_and_table_are_saved_with_the_same_bytes(widths: tuple[int, ...], tmp_path: Path) -> None:
    phases, edges = tables(widths)
    for folder in ("a", "b"):
        save(phase_diagram(phases, edges), phase_rows(phases, edges), tmp_path / folder, "phase_diagram")
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / one).iterdir()} for one in ("a", "b"))
    assert first == second
    assert set(first) == {"phase_diagram.png", "phase_diagram.svg", "phase_diagram.csv"}
    table = pd.read_csv(tmp_path / "a" / "phase_diagram.csv")
    assert len(table) == len(phases)
    assert {"phase", "n_star", "boundary_low", "boundary_high", "boundary_status"} <= set(table)
    assert table.loc[table["step"] == 200, "n_star"].tolist() == [30.0] * 6 * len(widths)


def test_the_collapse_is_drawn_against_scaled_time() -> None:
    rows, _ = family(ns=(32, 256), widths=(8, 16))
    fit = FIT | {"beta": -0.9, "beta_low": -1.0, "beta_high": -0.8}
    figure, table = collapse(rows, fit), collapse_rows(rows, fit)
    expected = table["step"] / (table["n"] ** 1.02 * table["width"] ** -0.9)
    np.testing.assert_allclose(table["step_scaled"], expected, rtol=1e-12)
    assert (table["step"] > 0).all()
    before, after = figure.axes
    for axes, column in ((before, "step"), (after, "step_scaled")):
        drawn = np.concatenate([np.asarray(line.get_xdata()) for line in axes.get_lines()])
        np.testing.assert_allclose(np.sort(drawn), np.sort(table[column]))
    spans = [np.ptp(np.log(axes.get_xlim())) for axes in (before, after)]
    assert spans[0] == pytest.approx(spans[1])  # equally many decades, or narrowing would show nothing
    said = words(figure)
    for part in ("= 1.02 in [0.90, 1.14] (95%)", "= −0.90 in [−1.00, −0.80] (95%)", "spread (score) 0.07", "W^{-0.90}"):
        assert part in said


def test_a_collapse_without_widths_names_none() -> None:
    rows, _ = family(ns=(32, 256))
    figure = collapse(rows, FIT)
    assert "W^" not in words(figure)
    assert "beta" not in words(figure)
