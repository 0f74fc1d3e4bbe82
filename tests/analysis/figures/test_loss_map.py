"""The map of the gap of losses: a cell a checkpoint and diffusion time, its line at the onsets, its table with both."""

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis.figures.loss_map import picture

STEP = [0, 100, 200, 400, 800]
TIMES = (5, 20, 100, 800)


def rows(times: tuple[int, ...] = TIMES) -> pd.DataFrame:
    """Gaps that double with each checkpoint to 0.2 of what is learned, but for the last t, which has none."""
    runs = []
    for n in (64, 256):
        for seed in (0, 1):
            run = pd.DataFrame({"run": f"n{n}-s{seed}", "n": n, "width": 16, "seed": seed, "index": seed, "step": STEP})
            for t in times:
                run[f"loss_test_t{t}"] = [1.0, 0.5, 0.5, 0.5, 0.5]
                gap = 0.0 if t == times[-1] else 0.5
                run[f"loss_train_t{t}"] = run[f"loss_test_t{t}"] - gap * np.array([0, 0.025, 0.05, 0.1, 0.2])
            runs.append(run)
    return pd.concat(runs, ignore_index=True)


def test_the_table_has_the_gap_of_each_cell_and_the_onset_of_each_time() -> None:
    found = picture(rows())
    assert found is not None
    table = found.data.set_index(["n", "t", "step"])
    assert len(table) == 2 * len(TIMES) * len(STEP)
    assert table.loc[(64, 20, 400), "gap"] == pytest.approx(0.1)
    assert table.loc[(64, 20, 800), "onset"] == pytest.approx(400)
    assert found.data.loc[found.data["t"] == 800, "onset"].isna().all()


def test_a_panel_an_n_with_the_line_at_the_onsets() -> None:
    found = picture(rows())
    assert found is not None
    first, second, _ = found.figure.axes
    assert [axes.get_title(loc="left") for axes in (first, second)] == ["$n$ = 64", "$n$ = 256"]
    assert [label.get_text() for label in first.get_yticklabels()] == ["5", "20", "100", "800"]
    line = first.lines[0]
    expected = [[400, 0], [400, 1], [400, 2], [np.nan, 3]]
    assert np.asarray(line.get_xydata()) == pytest.approx(np.array(expected), nan_ok=True)


def test_few_diffusion_times_are_no_map() -> None:
    assert picture(rows(TIMES[:3])) is None
