"""The window in pictures: which run and which checkpoints are shown."""

from pathlib import Path

import pandas as pd

from diffmem.analysis.figures.window import window_in_pictures, window_steps
from diffmem.analysis.tables.family import read_table
from diffmem.analysis.times.family import family_times
from tests.helpers.families import as_family, planted_rows, write_run
from tests.helpers.picture_tables import sheets


def test_the_run_of_most_n_that_reached_all_at_the_checkpoints_that_first_show_it(tmp_path: Path) -> None:
    for n in (16, 64, 256):
        write_run(tmp_path, planted_rows(n, 10.0 * n, 60))
    family = read_table(tmp_path)
    times = family_times(family, n_boot=0)
    shown = window_steps(family, times)
    assert shown is not None
    path, steps = shown
    reached = (times[["tau_gen_status", "tau_bias_status", "tau_mem_status"]] == "reached").all(axis=1)
    assert path.name == times[reached].sort_values("n")["run"].iloc[-1]
    own = family.rows.loc[family.rows["run"] == path.name, "step"]
    time = times.set_index("run").loc[path.name]
    for step, name in zip(steps, ("tau_gen", "tau_bias", "tau_mem"), strict=True):
        assert own[own < step].max() < time[name] <= step


def test_without_directories_p_train_or_a_run_that_reached_all_there_is_none(tmp_path: Path) -> None:
    rows = planted_rows(64, 640, 60)
    family = as_family(rows)
    assert window_steps(family, family_times(family, n_boot=0)) is None  # a table has no pictures
    write_run(tmp_path, rows)
    family = read_table(tmp_path)
    times = family_times(family, n_boot=0)
    assert window_steps(family, times) is not None
    assert window_steps(family, times.assign(tau_mem_status="right")) is None
    old = times.drop(columns=[name for name in times if str(name).startswith("tau_bias")])
    assert isinstance(old, pd.DataFrame)
    assert window_steps(family, old) is None


def test_rows_come_in_the_order_of_training_whichever_time_is_first() -> None:
    gen, bias, mem = (sheets((32,), (step,))[0] for step in (119, 50, 900))
    titles = [axes.get_title(loc="left") for axes in window_in_pictures([gen, bias, mem]).axes]
    assert [title.partition(" ")[0] for title in titles] == ["bias", "quality", "memorization"]
    assert [title.rpartition(" ")[2] for title in titles] == ["50", "119", "900"]
