"""Figures: what is drawn is what the CSV holds, the bytes are the same twice, and nothing leaks into matplotlib."""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from diffmem.analysis.figures import drawing, registry, time_points
from diffmem.analysis.figures.bias import bias_and_memorization
from diffmem.analysis.figures.files import Picture, render, save
from diffmem.analysis.figures.law_lines import law
from diffmem.analysis.figures.losses import losses
from diffmem.analysis.figures.material import Material
from diffmem.analysis.figures.memorization import fmem_vs_step_per_n, memorization_and_quality
from diffmem.analysis.figures.samples import samples_beside_neighbours
from diffmem.analysis.figures.times_vs_n import Laws, times_vs_n
from diffmem.errors import InputError
from diffmem.records import SampleSheet
from tests.helpers.picture_tables import LAWS, STEPS, family, sheets


@pytest.fixture(scope="module")
def pictures() -> dict[str, Picture]:
    rows, times = family(ns=(32, 256, 1024))
    return draw_all(rows, times, LAWS, sheets((32, 1024), (119, 6000)))


def draw_all(
    rows: pd.DataFrame, times: pd.DataFrame, laws: Laws = LAWS, sheets: Sequence[SampleSheet] = ()
) -> dict[str, Picture]:
    return registry.draw_all(Material(rows=rows, times=times, laws=laws, sheets=sheets))


def lines(figure: Figure, panel: int, colour: object) -> list[tuple[np.ndarray, np.ndarray]]:
    """(x, y) of the solid curves of one colour in one panel."""
    return [
        (np.asarray(line.get_xdata()), np.asarray(line.get_ydata()))
        for line in figure.axes[panel].get_lines()
        if line.get_color() == colour and line.get_linestyle() == "-" and len(np.asarray(line.get_xdata())) > 2
    ]


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(Text))


def test_every_figure_is_drawn(pictures: dict[str, Picture]) -> None:
    assert set(pictures) == {
        "times_vs_n",
        "bias_and_memorization",
        "memorization_and_quality",
        "fmem_vs_step_per_n",
        "losses",
        "samples_beside_neighbours",
    }


def test_the_quality_drawn_is_the_one_that_the_times_were_read_off() -> None:
    rows, times = family(ns=(32, 64))
    rows = rows.assign(fd_pca64=2 * rows["fd_pixels"])
    drawn = draw_all(rows, times.assign(quality="fd_pca64"), LAWS)["memorization_and_quality"]
    assert set(drawn.data["quality_name"]) == {"fd_pca64"}
    assert "fd_pca64" in words(drawn.figure)
    with pytest.raises(InputError, match="several measures of quality"):
        draw_all(rows, times, LAWS)
    alone = draw_all(rows.drop(columns="fd_pca64"), times, LAWS)["memorization_and_quality"]
    assert set(alone.data["quality_name"]) == {"fd_pixels"}


@pytest.mark.slow
def test_widths_fall_together_against_width_times_step() -> None:
    """τ_mem = 12 n · 16 / W and τ_gen = 150 · 16 / W: in W τ/n and W τ the curves cross at one place."""
    rows, times = family(ns=(64,), widths=(8, 32))
    figure, data = draw_all(rows, times, LAWS)["width_scaling"]
    assert "training time multiplied by the width" in words(figure)
    for panel, column in ((0, "step_per_n"), (1, "width_step_per_n"), (2, "step"), (3, "width_step")):
        drawn = figure.axes[panel].get_lines()
        for _, curve in data.groupby("width"):
            assert any(np.asarray(line.get_xdata()).tolist()[1:] == list(curve[column])[1:] for line in drawn), (
                panel,
                column,
            )
    np.testing.assert_array_equal(data["width_step_per_n"], data["width"] * data["step"] / data["n"])
    assert "width_scaling" not in draw_all(*family(ns=(64, 128)), LAWS)


def test_curves_drawn_are_those_of_the_csv(pictures: dict[str, Picture], tmp_path: Path) -> None:
    figure, data = pictures["memorization_and_quality"]
    _, _, csv = save(figure, data, tmp_path, "curves")
    table = pd.read_csv(csv)
    palette = drawing.colours(table["n"])
    for n, curve in table.groupby("n"):
        assert isinstance(n, int)
        for panel, column, measure in ((0, "step", "f_mem"), (1, "step_per_n", "f_mem"), (2, "step", "quality")):
            ((x, y),) = lines(figure, panel, palette[n])
            np.testing.assert_array_equal(y, curve[measure])
            np.testing.assert_allclose(x[1:], curve[column].iloc[1:], rtol=1e-12)
            assert 0 < x[0] < x[1]  # step 0 stands at the left edge
    labels = [text.get_text() for text in figure.axes[2].get_xticklabels()]
    assert labels[0] == "0"
    assert {"step", "f_mem_low", "f_mem_high", "f_mem_null", "quality_name"} <= set(table)


def test_a_time_is_marked_on_its_curve(pictures: dict[str, Picture]) -> None:
    figure, data = pictures["memorization_and_quality"]
    _, times = family(ns=(32, 256, 1024))
    tau = times.set_index("n")["tau_mem"][32]
    curve = data[data["n"] == 32]
    expected = np.interp(np.log(tau), np.log(curve["step"][1:]), curve["f_mem"][1:])
    marks = [line for line in figure.axes[0].get_lines() if line.get_marker() == "D"]
    assert len(marks) == 2  # n = 1024 is censored
    places = [(float(np.asarray(m.get_xdata())[0]), float(np.asarray(m.get_ydata())[0])) for m in marks]
    assert any(np.allclose(place, (tau, expected), rtol=1e-9) for place in places)
    per_n = [line for line in figure.axes[1].get_lines() if line.get_marker() == "D"]
    assert any(math.isclose(float(np.asarray(m.get_xdata())[0]), tau / 32) for m in per_n)


def test_losses_drawn_are_those_of_the_csv(pictures: dict[str, Picture]) -> None:
    figure, data = pictures["losses"]
    rows, _ = family(ns=(32, 256, 1024))
    one = data[(data["n"] == 256) & (data["t"] == 200) & (data["split"] == "test")]
    np.testing.assert_array_equal(one["loss"], rows[rows["n"] == 256]["loss_test_t200"])
    ((_, y),) = lines(figure, 1, drawing.colours(data["n"])[256])
    np.testing.assert_array_equal(y, one["loss"])


def test_times_and_laws_drawn_are_those_of_the_csv(pictures: dict[str, Picture]) -> None:
    figure, data = pictures["times_vs_n"]
    law = next(line for line in figure.axes[0].get_lines() if line.get_color() == drawing.COLOURS["tau_mem"])
    marks = [line for line in figure.axes[0].get_lines() if line.get_marker() == "o"]
    full = {float(np.asarray(m.get_ydata())[0]) for m in marks if m.get_markerfacecolor() != "white"}
    assert full == {*data["tau_gen"], *data["tau_bias"], *data["tau_mem"].dropna()}
    (bound,) = [m for m in marks if m.get_markerfacecolor() == "white"]
    assert float(np.asarray(bound.get_ydata())[0]) == STEPS[-1]
    assert law is not None
    expected = math.exp(LAWS["tau_mem"]["log_c"]) * data["n"] ** 1.02
    np.testing.assert_allclose(data["tau_mem_law"], expected, rtol=1e-12)
    curve = max(figure.axes[0].get_lines(), key=lambda line: float(np.max(np.asarray(line.get_ydata()))))
    drawn = np.interp(np.log(256), np.log(np.asarray(curve.get_xdata())), np.log(np.asarray(curve.get_ydata())))
    np.testing.assert_allclose(np.exp(drawn), expected[data["n"] == 256], rtol=1e-9)
    assert "1.02" in words(figure)
    assert "[0.91, 1.13]" in words(figure)
    assert "stop here" in words(figure)


def test_a_law_with_width_follows_its_formula() -> None:
    fit = {"alpha": 1.0, "beta": -1.0, "log_c": math.log(200.0)}
    np.testing.assert_allclose(law(fit, np.array([10.0, 20.0]), np.array([8.0, 16.0])), [250.0, 250.0])


def test_no_window_is_claimed_where_memorization_comes_first() -> None:
    _, times = family(ns=(32, 64))
    swapped = {"tau_mem": LAWS["tau_gen"], "tau_bias": LAWS["tau_gen"], "tau_gen": LAWS["tau_mem"]}
    figure = times_vs_n(times, swapped)
    assert "stop here" not in words(figure)
    assert not [shape for shape in figure.axes[0].collections if shape.get_paths()]
    assert [shape for shape in times_vs_n(times, LAWS).axes[0].collections if shape.get_paths()]


def window_top(times: pd.DataFrame) -> float:
    """The largest step of the shaded window."""
    (shape,) = [shape for shape in times_vs_n(times, LAWS).axes[0].collections if shape.get_paths()]
    return float(np.concatenate([np.asarray(path.vertices) for path in shape.get_paths()])[:, 1].max())


def test_the_window_ends_at_bias_and_at_memorization_where_p_train_was_not_measured() -> None:
    _, times = family(ns=(32, 1024))
    old = times.drop(columns=[name for name in times if str(name).startswith("tau_bias")])
    assert window_top(times) == pytest.approx(3.9 * (1024 * 1.35) ** 1.01)
    assert window_top(old) == pytest.approx(11 * (1024 * 1.35) ** 1.02)


def test_p_train_drawn_is_that_of_the_csv_with_its_null_and_its_time(pictures: dict[str, Picture]) -> None:
    figure, data = pictures["bias_and_memorization"]
    for panel, name in enumerate(("p_train", "f_mem")):
        ((_, y),) = lines(figure, panel, drawing.colours(data["n"])[256])
        np.testing.assert_array_equal(y, data.loc[data["n"] == 256, name])
        dotted = [line for line in figure.axes[panel].get_lines() if line.get_linestyle() == ":"]
        assert {float(np.asarray(line.get_ydata())[0]) for line in dotted} == set(data[f"{name}_null"])
    marks = [line for line in figure.axes[0].get_lines() if line.get_marker() == "s"]
    assert len(marks) == 3
    assert "not measured" in words(bias_and_memorization(ROWS.drop(columns=SAMPLES), TIMES))


def test_sheet_frames_the_copies(pictures: dict[str, Picture]) -> None:
    figure, data = pictures["samples_beside_neighbours"]
    shown = sheets((32, 1024), (119, 6000))
    frames = [patch for axes in figure.axes for patch in axes.patches if isinstance(patch, Rectangle)]
    assert len(frames) == sum(int(np.sum(sheet.ratio < 1 / 3)) for sheet in shown) == data["memorized"].sum() > 0
    np.testing.assert_array_equal(data["ratio"], np.concatenate([sheet.ratio for sheet in shown]))
    canvas = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(canvas[:8, :8, 1], shown[0].samples[0, 0], rtol=1e-6)
    np.testing.assert_allclose(canvas[-8:, :8, 1], shown[0].nearest[0, 0], rtol=1e-6)


def test_bytes_are_the_same_twice(pictures: dict[str, Picture], tmp_path: Path) -> None:
    _, times = family(ns=(32, 256, 1024))
    again = times_vs_n(times, LAWS)
    figure, data = pictures["times_vs_n"]
    first = save(figure, data, tmp_path / "a", "x")
    second = save(again, data, tmp_path / "b", "x")
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()
    assert first[1].read_bytes() == render(figure, "svg")  # a figure saved again
    assert first[0].read_bytes().startswith(b"\x89PNG")
    assert b"<dc:date>" not in first[1].read_bytes()


def test_reader_settings_neither_matter_nor_change(tmp_path: Path) -> None:
    _, times = family(ns=(32, 64))
    plain = render(times_vs_n(times, LAWS), "svg")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": "other"}):
        before = dict(matplotlib.rcParams)
        figure = times_vs_n(times, LAWS)
        save(figure, times, tmp_path, "x")
        assert dict(matplotlib.rcParams) == before
        assert render(figure, "svg") == plain
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


ROWS, TIMES = family(ns=(64,))
RIGHT = TIMES.assign(tau_mem=np.nan, tau_mem_low=np.nan, tau_mem_high=np.nan, tau_mem_status="right").assign(
    tau_gen=np.nan, tau_gen_low=np.nan, tau_gen_high=np.nan, tau_gen_status="left", tau_gen_last_step=50
)
REFUSED = {name: {"refused": "N <= k: one run tells no law; add runs at other n"} for name in LAWS}
SAMPLES = [name for name in map(str, ROWS) if name.startswith(("f_mem", "fd_", "p_train"))]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "times", "missing"),
    [
        (ROWS, TIMES, set()),
        (ROWS, RIGHT, set()),
        (ROWS, TIMES.assign(tau_mem_status="refused", tau_gen_status="refused"), set()),
        (ROWS.drop(columns=SAMPLES), RIGHT, {"memorization_and_quality", "fmem_vs_step_per_n"}),
        (ROWS[["run", "n", "step", "f_mem"]], TIMES, {"losses"}),
        (ROWS[["run", "n", "step", "fd_pixels"]], TIMES[["run", "n"]], {"losses", "fmem_vs_step_per_n"}),
        (ROWS[ROWS["step"] == 0], TIMES, set()),
        (ROWS[ROWS["step"] > 0].assign(fd_pixels=-1.0), TIMES.assign(tau_gen_low=0.0, tau_gen_high=np.inf), set()),
    ],
    ids=["one-run", "censored", "refused", "no-samples", "only-f_mem", "only-quality", "step-0", "odd-values"],
)
def test_thin_tables_still_draw(rows: pd.DataFrame, times: pd.DataFrame, missing: set[str]) -> None:
    drawn = draw_all(rows, times, REFUSED)
    everything = {"times_vs_n", "memorization_and_quality", "fmem_vs_step_per_n", "losses"}
    everything |= {"bias_and_memorization"} if "p_train" in rows else set()
    assert set(drawn) == everything - missing
    assert all(len(figure.findobj(Text)) and len(data) for figure, data in drawn.values())
    render(drawn["times_vs_n"].figure, "png")


def test_a_figure_says_what_it_leaves_out() -> None:
    assert "not measure" in words(memorization_and_quality(ROWS[["run", "n", "step", "f_mem"]], TIMES))
    bare = ROWS[["run", "n", "step"]]
    for figure in (
        memorization_and_quality(bare, TIMES),
        fmem_vs_step_per_n(bare),
        losses(bare),
    ):
        assert "measured" in words(figure)
    assert "no samples" in words(samples_beside_neighbours([]))
    assert "no time" in words(times_vs_n(TIMES[["run", "n"]], {}))
    assert "one run tells" in words(times_vs_n(TIMES, REFUSED))
    refused = TIMES.assign(tau_mem_status="refused")  # its last step is no bound
    assert [point.name for name in LAWS for point in time_points.points(refused, name)] == ["tau_bias", "tau_gen"]


def test_widths_have_line_styles_and_replicates_stand_apart() -> None:
    rows, times = family(ns=(64, 256), widths=(8, 16), seeds=(0, 1))
    curves = fmem_vs_step_per_n(rows).axes[0].get_lines()
    assert {"-", "--"} <= {str(line.get_linestyle()) for line in curves if line.get_linewidth() > 1.5}
    points = time_points.dodged(time_points.points(times, "tau_mem"))
    assert len({point.n for point in points if point.width == 8}) == 4
    panels = losses(rows).axes
    assert [axes.get_title(loc="left") for axes in panels][1:3] == ["$t = 200$, $W = 8$", "$t = 50$, $W = 16$"]


def test_marks_at_one_n_and_height_stand_side_by_side_whatever_they_mark() -> None:
    """A bound of one time under the mark of another would not be seen."""
    _, times = family(ns=(64,))
    same = times.assign(tau_mem=500.0, tau_gen_status="right", tau_gen_last_step=510, tau_bias=50.0)
    points = [point for name in LAWS for point in time_points.points(same, name)]
    apart = {point.name: point.n for point in time_points.dodged(points)}
    assert apart["tau_bias"] == 64
    assert apart["tau_gen"] < 64 < apart["tau_mem"]
    far = time_points.dodged([point._replace(tau=100.0 * (1 + place)) for place, point in enumerate(points)])
    assert {point.n for point in far} == {64}


@pytest.mark.parametrize("top", [0.0, 0.05, 0.42, 1.0])
def test_the_axis_of_a_share_ends_where_the_data_do(top: float) -> None:
    rows, times = family(ns=(64, 128))
    rows = rows.assign(**{f"f_mem{end}": rows[f"f_mem{end}"] * top for end in ("", "_low", "_high")}, f_mem_null=0.0)
    for axes in fmem_vs_step_per_n(rows).axes, memorization_and_quality(rows, times).axes[:2]:
        low, high = axes[0].get_ylim()
        largest = rows["f_mem_high"].max()
        assert -0.06 < low < 0
        assert min(largest, 1) < high <= min(1.2 * largest + 0.05, 1.03)


def test_intervals_of_times_at_one_level_do_not_lie_on_each_other(pictures: dict[str, Picture]) -> None:
    figure, _ = pictures["memorization_and_quality"]
    bars = [line for line in figure.axes[2].get_lines() if line.get_marker() == "|"]
    heights = [float(np.asarray(line.get_ydata())[0]) for line in bars]
    assert len(bars) == len(set(heights)) == 3
    assert heights == sorted(heights, reverse=True)
    _, times = family(ns=(32, 256, 1024))
    ends = times.sort_values("n")[["tau_gen_low", "tau_gen_high"]].to_numpy()
    for line, end in zip(bars, ends, strict=True):
        np.testing.assert_allclose(np.asarray(line.get_xdata(), dtype=float), end)


def test_ticks_and_colours() -> None:
    assert [drawing.plain(x) for x in (0.01, 50.0, 2000.0, 1e5, 2e-4)] == [
        "0.01",
        "50",
        "2,000",
        "$10^{5}$",
        r"$2\times 10^{-4}$",
    ]
    assert drawing.levels([8.0, np.nan, 8, 0.5]) == [0.5, 8]
    palette = drawing.colours([128, 32, 32])
    assert len(set(palette.values())) == len(palette) == 2


def test_bad_tables_are_refused() -> None:
    with pytest.raises(InputError, match="no column n"):
        losses(ROWS.drop(columns="n"))
    with pytest.raises(InputError, match="5 ratios"):
        SampleSheet("a", 8, 0, np.zeros((6, 1, 8, 8)), np.zeros((6, 1, 8, 8)), np.zeros(5))
