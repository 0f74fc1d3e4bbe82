"""Times, collapse, figures and the best checkpoint read one quality: the chosen, or that of the first kind, or none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis.figures.curves import curves
from diffmem.analysis.figures.material import Material
from diffmem.analysis.figures.registry import draw_all
from diffmem.analysis.laws.collapse import family_collapse
from diffmem.analysis.times.curves import family_curves
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
def test_of_two_of_one_kind_none_is_guessed(reader: str) -> None:
    table = rows()
    with pytest.raises(InputError) as refusal:
        READERS[reader](table.assign(fd_other=2 * table["fd_pixels"]))
    assert str(refusal.value) == SENTENCE


@pytest.mark.parametrize("reader", READERS)
def test_a_column_without_a_number_is_no_measure(reader: str) -> None:
    table = rows()
    assert READERS[reader](table.assign(fd_other=np.nan)) == READERS[reader](table)


@pytest.mark.parametrize("reader", READERS)
def test_the_kernel_distance_is_read_before_frechet(reader: str) -> None:
    table = rows()
    kernel = {f"mmd_pixels{end}": table[f"fd_pixels{end}"] - 2 for end in ("", "_low", "_high", "@real", "@gaussian")}
    both = READERS[reader](table.assign(**kernel))
    alone = [name for name in table if not str(name).startswith("fd_")]
    assert both == READERS[reader](table[alone].assign(**kernel))
    if reader == "times":
        assert both["quality"] == ["mmd_pixels"] * len(NS)


def test_ends_biases_and_bookends_are_no_measures() -> None:
    table = rows().assign(fd_pixels_bias=0.1, precision=0.9, recall=0.8)
    assert READERS["times"](table)["quality"] == ["fd_pixels"] * len(NS)
    for name in ("fd_pixels_bias", "fd_pixels@gaussian", "f_mem"):
        with pytest.raises(InputError, match=f"quality={name} is no column of the table that measures quality: use"):
            family_times(as_family(table), n_boot=0, quality=name)


def test_fid_is_the_column_of_inception_and_of_nothing_else() -> None:
    table = rows().rename(columns=lambda name: name.replace("fd_pixels", "fd_inception"))
    found = family_times(as_family(table), n_boot=0, quality="fid")
    assert found["quality"].tolist() == ["fd_inception"] * len(NS)
    with pytest.raises(InputError, match="quality=fid is no column"):
        family_times(as_family(rows()), n_boot=0, quality="fid")


def test_times_are_read_off_a_share_as_off_what_it_lacks() -> None:
    """Coverage, of which higher is better, has the times of 1 - coverage; its level and words are in its own units."""
    table = rows()
    lacks = table["fd_pixels"] / (2 * table["fd_pixels"].max())
    ends = {"real": 0.04, "gaussian": 0.45, "independent": 0.6, "mean_image": 0.99, "average": 0.5, "copies": 0.1}
    table = table[[name for name in table if not str(name).startswith("fd_")]]
    mirrored = table.assign(mmd_x=lacks, mmd_x_low=lacks - 0.02, mmd_x_high=lacks + 0.02)
    share = table.assign(coverage_x=1 - lacks, coverage_x_low=0.98 - lacks, coverage_x_high=1.02 - lacks)
    mirrored = mirrored.assign(**{f"mmd_x@{name}": value for name, value in ends.items()})
    share = share.assign(**{f"coverage_x@{name}": 1 - value for name, value in ends.items()})
    one, other = (
        family_curves(as_family(some), name)[0] for some, name in ((mirrored, "mmd_x"), (share, "coverage_x"))
    )
    for name in ("quality", "quality_low", "quality_high"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name))
    assert dict(other.bookends) == pytest.approx(dict(one.bookends))
    expected = family_times(as_family(mirrored), n_boot=50, quality="mmd_x")
    found = family_times(as_family(share), n_boot=50, quality="coverage_x")
    assert (expected["tau_gen_status"] == "reached").all()
    for name in ("tau_gen", "tau_gen_low", "tau_gen_high"):
        np.testing.assert_allclose(found[name].astype(float), expected[name].astype(float), rtol=1e-6)
    np.testing.assert_allclose(found["level"], 1 - expected["level"])
    assert found["level_set_by"].tolist() == ["gaussian"] * len(NS)
    given = family_times(as_family(share), n_boot=0, quality="coverage_x", level=0.7)
    assert set(given["level"]) == {0.7}
    with pytest.raises(
        InputError, match=r"level=0.5 of coverage_x .* gaussian, .* scores 0.55. Give a level above that"
    ):
        family_times(as_family(share), n_boot=0, quality="coverage_x", level=0.5)
    with pytest.raises(InputError, match="give a share below 1"):
        family_times(as_family(share), n_boot=0, quality="coverage_x", level=1.5)
    picture = draw_all(Material(rows=share, times=found, laws=LAWS))["memorization_and_quality"]
    assert set(picture.data["quality_name"]) == {"coverage_x"}
    panels = [axes for axes in picture.figure.axes if axes.get_ylabel() == "coverage\n(coverage_x)"]
    heights = [float(np.asarray(line.get_ydata())[0]) for line in panels[0].lines]
    assert 0.55 in np.round(heights, 9)  # the best trivial generator's


def test_the_chosen_one_is_in_every_figure_drawn_with_its_times() -> None:
    table = rows()
    table = table.assign(fd_other=2 * table["fd_pixels"])
    times = family_times(as_family(table), n_boot=0, quality="fd_other")
    assert quality_read(times) == "fd_other"
    collapsed = family_collapse(as_family(table), "fd_other")
    pictures = draw_all(Material(rows=table, times=times, laws=LAWS, collapse=collapsed))
    assert {"memorization_and_quality", "fmem_vs_step_per_n", "collapse"} <= set(pictures)
    named = [set(picture.data["quality_name"]) for picture in pictures.values() if "quality_name" in picture.data]
    assert len(named) == 3
    assert all(one == {"fd_other"} for one in named)
