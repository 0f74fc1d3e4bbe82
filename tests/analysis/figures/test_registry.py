"""The registry of figures: every figure has its words, and the page needs no other list."""

import pytest

from diffmem.analysis.figures.material import Material
from diffmem.analysis.figures.registry import ENTRIES, Entry, draw_all
from diffmem.analysis.pages import report
from tests.helpers.picture_tables import LAWS, family, sheets


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: str(entry.name))
def test_every_figure_has_a_name_a_title_a_caption_and_a_drawing(entry: Entry) -> None:
    assert entry.name.isidentifier()
    assert entry.title.strip()
    assert entry.title[0].isupper()
    assert "_" not in entry.title, "a title for people, not the figure's name"
    assert entry.caption.strip().endswith(".")
    assert callable(entry.draw)


def test_names_titles_and_drawings_are_distinct_and_the_page_knows_its_two() -> None:
    names = [entry.name for entry in ENTRIES]
    for column in (names, [entry.title for entry in ENTRIES], [entry.draw for entry in ENTRIES]):
        assert len(set(column)) == len(ENTRIES)
    assert {report.FIRST, report.MOVED} <= set(names)


def test_figures_come_in_the_order_of_the_registry() -> None:
    rows, times = family(ns=(32, 64), widths=(8, 16))
    shown, window = sheets((32,), (119,)), sheets((32,), (9, 50, 119))
    drawn = draw_all(Material(rows=rows, times=times, laws=LAWS, sheets=shown, window=window))
    names = [entry.name for entry in ENTRIES]
    assert list(drawn) == [name for name in names if name in drawn]
    assert set(names) - set(drawn) == {
        "classes",
        "collapse",
        "divergence",
        "loss_map",
        "phase_diagram",
        "scores",
    }  # of which there is none here


@pytest.mark.parametrize(("ns", "widths"), [((32, 64), (8, 16)), ((16, 32, 64, 128, 256, 512, 1024), (8, 16, 32, 64))])
def test_the_key_of_every_figure_is_inside_it(ns: tuple[int, ...], widths: tuple[int, ...]) -> None:
    rows, times = family(ns=ns, widths=widths)
    shown, window = sheets((32,), (119,)), sheets((32,), (9, 50, 119))
    for name, picture in draw_all(Material(rows=rows, times=times, laws=LAWS, sheets=shown, window=window)).items():
        picture.figure.draw_without_rendering()
        for key in picture.figure.legends:
            place, whole = key.get_window_extent(), picture.figure.bbox
            assert whole.x0 <= place.x0 < place.x1 <= whole.x1, name
