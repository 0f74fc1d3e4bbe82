"""The forest plot: a row an arm, filled where an effect is told from none, and what it says without replicates."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from diffmem.analysis.figures.forest import TITLES, forest
from diffmem.analysis.laws.blocks import COLUMNS

ARMS = ["placebo", "wide", "late"]


def table(**changes: float) -> pd.DataFrame:
    rows = [
        {"arm": arm, "estimand": estimand, **dict.fromkeys(COLUMNS, np.nan), "bound": np.nan}
        | {"effect": 0.5, "low": 0.1, "high": 0.9, "p_holm": 0.01 if arm == "wide" else np.nan}
        for estimand in ("tau_gen", "window", "p_train")
        for arm in ARMS
    ]
    rows[2] |= {"effect": np.nan, "low": np.nan, "high": np.nan, "bound": np.log(3)}
    return pd.DataFrame(rows).assign(**changes)


def marks(axes: Axes, marker: str) -> list[tuple[float, int, Line2D]]:
    """Where each mark of this kind stands."""
    found = [(*np.asarray(line.get_xydata())[0], line) for line in axes.lines if line.get_marker() == marker]
    return [(float(x), int(y), line) for x, y, line in found if np.isfinite(x)]


def test_times_are_ratios_and_other_effects_are_differences() -> None:
    found = forest(table()).data.set_index(["arm", "estimand"])
    assert found.loc[("wide", "window"), "effect"] == pytest.approx(np.exp(0.5))
    assert found.loc[("wide", "p_train"), "high"] == pytest.approx(0.9)
    assert found.loc[("late", "tau_gen"), "bound"] == pytest.approx(3)


def test_a_panel_an_estimand_a_row_an_arm_the_placebo_last_and_the_sure_filled() -> None:
    axes = forest(table()).figure.axes
    assert [one.get_title() for one in axes] == [""] * 3
    assert [one.get_title(loc="left") for one in axes] == [TITLES[name] for name in ("tau_gen", "window", "p_train")]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["wide", "late", "placebo (nothing changed)"]
    filled = {y: line.get_markerfacecolor() != "white" for _, y, line in marks(axes[1], "o")}
    assert filled == {0: True, 1: False, 2: False}
    assert [(x, y) for x, y, _ in marks(axes[0], ">")] == [(pytest.approx(3), 1)]


def test_without_an_effect_it_says_why() -> None:
    nothing = table(effect=np.nan, bound=np.nan)
    picture = forest(nothing)
    assert "an effect needs replicates" in picture.figure.texts[0].get_text()
    assert len(picture.data) == len(nothing)
