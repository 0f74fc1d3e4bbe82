"""The figure of the divergence: what it draws, and that a divergence may be below zero by chance."""

import numpy as np
import pandas as pd

from diffmem.analysis.figures.divergence import divergence, divergence_curves
from diffmem.analysis.tables.rows import clean_rows

ROWS = pd.DataFrame({"run": ["a"] * 3 + ["b"] * 3, "n": [32] * 3 + [64] * 3, "step": [0, 100, 1000] * 2}).assign(
    width=128, seed=0, index=0, kl=[40.0, 0.5, 3.0, 41.0, -0.01, 0.2], kl_se=0.02, kl_error=0.001
)


def test_every_run_has_its_curve() -> None:
    figure = divergence(divergence_curves(ROWS))
    drawn = [np.asarray(line.get_ydata()).tolist() for line in figure.axes[0].get_lines()]
    assert drawn == [[40.0, 0.5, 3.0], [41.0, -0.01, 0.2]]


def test_rows_without_it_have_no_curve() -> None:
    assert divergence_curves(ROWS.drop(columns=["kl", "kl_se", "kl_error"])).empty
    assert len(divergence_curves(ROWS.assign(kl=[1.0, np.nan, 2.0, 3.0, 4.0, 5.0]))) == 5


def test_a_table_may_hold_one_below_zero() -> None:
    assert clean_rows(ROWS.copy(), "mine.csv", [])["kl"].min() == -0.01
