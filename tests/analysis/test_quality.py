"""Times, collapse, figures and the best checkpoint read one quality: the chosen, or the only one measured, or none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis.figures.curves import curves
from diffmem.analysis.figures.material import Material
from diffmem.analysis.figures.registry import draw_all
from diffmem.analysis.laws.collapse import family_collapse
from diffmem.analysis.times.family import family_times, quality_read
from diffmem.compare.targets.run import best_step
from diffmem.errors import InputError
from diffmem.stats.intervals import wilson
from tests.helpers.families import as_family, planted_rows
from tests.helpers.picture_tables import LAWS

NS = (16, 32, 64, 128)
SENTENCE = "the table has several measures of quality: choose quality=fd_pixels or quality=fd_other."


def rows() -> pd.DataFrame:
    """A family whose only quality is fd_pixels, with the intervals that the best step is read with."""
    table = pd.concat([planted_rows(n, 20.0 * n, 150) for n in NS], ignore_index=True)
    ends = [
        wilson(int(count), int(total)) for count, total in zip(table["f_mem_count"], table["f_mem_total"], strict=True)
    ]
    low, high = zip(*ends, strict=True)
    return table.assign(f_mem_low=low, f_mem_high=high, f_mem_null_low=0.0, f_mem_null_high=0.01)


def first_run(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["run"] == table["run"].iloc[0]].reset_index(drop=True)


def drawn(table: pd.DataFrame) -> set[str]:
    """The qualities of the figures, drawn with times that do not say which they were read off."""
    times = family_times(as_family(table[[name for name in table if not str(name).startswith("fd_")]]), n_boot=0)
    figure = draw_all(Material(rows=table, times=times, laws=LAWS))["memorization_and_quality"]
    return set(figure.data["quality_name"])


READERS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "times": lambda table: family_times(as_family(table), n_boot=0)[["tau_gen", "quality"]].to_dict("list"),
    "collapse": lambda table: family_collapse(as_family(table)),
    "curves": lambda table: curves(table)["quality"].tolist(),
    "figures": drawn,
    "best step": lambda table: best_step(first_run(table)),
}


def test_the_only_one_measured_is_read_by_all() -> None:
    table = rows()
    assert READERS["times"](table)["quality"] == ["fd_pixels"] * len(NS)
    assert READERS["figures"](table) == {"fd_pixels"}
    assert READERS["curves"](table) == table["fd_pixels"].tolist()
    one = first_run(table)
    before = one[one["f_mem_low"] <= one["f_mem_null_high"]]
    assert READERS["best step"](table) == before["step"].iloc[int(before["fd_pixels"].argmin())]


@pytest.mark.parametrize("reader", READERS)
def test_of_two_measured_none_is_guessed(reader: str) -> None:
    table = rows()
    with pytest.raises(InputError) as refusal:
        READERS[reader](table.assign(fd_other=2 * table["fd_pixels"]))
    assert str(refusal.value) == SENTENCE


@pytest.mark.parametrize("reader", READERS)
def test_a_column_without_a_number_is_no_measure(reader: str) -> None:
    table = rows()
    assert READERS[reader](table.assign(fd_other=np.nan)) == READERS[reader](table)


def test_the_chosen_one_is_in_every_figure_drawn_with_its_times() -> None:
    table = rows()
    table = table.assign(fd_other=2 * table["fd_pixels"])
    times = family_times(as_family(table), n_boot=0, quality="fd_other")
    assert quality_read(times) == "fd_other"
    collapsed = family_collapse(as_family(table), "fd_other")
    pictures = draw_all(Material(rows=table, times=times, laws=LAWS, collapse=collapsed))
    assert {"memorization_and_quality", "fmem_vs_step_per_n", "collapse"} <= set(pictures)
    named = [set(picture.data["quality_name"]) for picture in pictures.values() if "quality_name" in picture.data]
    assert named == [{"fd_other"}] * 2
