"""The figure of single classes: what it draws is what the rows hold, and families without classes have none."""

import numpy as np
import pandas as pd

from diffmem.analysis.figures.classes import class_curves, classes, draw
from diffmem.analysis.figures.material import Material
from tests.helpers.picture_tables import LAWS, family

ROWS, TIMES = family(ns=(32, 64))


def with_classes() -> pd.DataFrame:
    """Class 10 copies twice as much as all, class 2 half as much; class 2 was not measured at the first step."""
    rows = ROWS.copy()
    for label, factor in ((10, 2.0), (2, 0.5)):
        rows[f"f_mem@class{label}"] = (factor * rows["f_mem"]).clip(upper=1)
        rows[f"fd_pixels@class{label}"] = factor * rows["fd_pixels"]
    rows.loc[rows["step"] == 0, "f_mem@class2"] = np.nan
    return rows


def test_no_figure_without_classes() -> None:
    assert draw(Material(rows=ROWS, times=TIMES, laws=LAWS)) is None


def test_lines_are_the_columns() -> None:
    rows = with_classes()
    table = class_curves(rows)
    assert set(table["measure"]) == {"f_mem", "fd_pixels"}
    assert set(table["class"]) == {"10", "2", "all"}
    figure = classes(rows)
    assert [line.get_label() for line in figure.legends[0].get_lines()] == ["class 2", "class 10", "all"]
    panels = figure.axes
    assert len(panels) == 4
    for axes, n in zip((panels[0], panels[2]), (32, 64), strict=True):
        part = rows[rows["n"] == n]
        second, tenth, everyone = (np.asarray(line.get_ydata(), float) for line in axes.get_lines())
        np.testing.assert_allclose(second, part["f_mem@class2"].dropna())
        np.testing.assert_allclose(tenth, part["f_mem@class10"])
        np.testing.assert_allclose(everyone, part["f_mem"])


def test_the_key_of_ten_classes_is_inside_the_figure() -> None:
    for measures in (["f_mem"], ["f_mem", "fd_pixels"]):
        columns = {f"{name}@class{label}": ROWS[name] for name in measures for label in range(10)}
        figure = classes(ROWS.assign(**columns))
        figure.draw_without_rendering()
        key, whole = figure.legends[0].get_window_extent(), figure.bbox
        assert whole.x0 <= key.x0 < key.x1 <= whole.x1


def test_runs_of_one_n_are_averaged() -> None:
    rows, _ = family(ns=(32,), seeds=(0, 1))
    rows["f_mem@class0"] = rows["f_mem"] / 2
    first = np.asarray(classes(rows).axes[0].get_lines()[0].get_ydata(), float)
    np.testing.assert_allclose(first, rows.groupby("step")["f_mem"].mean() / 2)
