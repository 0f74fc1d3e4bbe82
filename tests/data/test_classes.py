"""The images of some classes: those of the whole set in its order, each in the split that it lies in."""

import numpy as np
import pytest

from diffmem.config.compose import compose
from diffmem.data import load
from diffmem.errors import InputError
from diffmem.training.plan import plan

FIVE_ON = "data.classes=[5,6,7,8,9]"


def test_they_are_those_of_the_whole_set_in_its_order() -> None:
    whole, part = load(compose([]).data), load(compose([FIVE_ON]).data)
    assert whole.labels is not None
    assert part.labels is not None
    chosen = whole.labels >= 5
    np.testing.assert_array_equal(part.stored, whole.stored[chosen])
    np.testing.assert_array_equal(part.labels, whole.labels[chosen])
    assert part.test_count == chosen[-whole.test_count :].sum()
    assert part.sha256 != whole.sha256


def test_all_classes_are_the_whole_set() -> None:
    whole, part = load(compose([]).data), load(compose(["data.classes=[0,1,2,3,4,5,6,7,8,9]"]).data)
    assert (part.sha256, part.test_count) == (whole.sha256, whole.test_count)


def test_they_count_in_the_id_and_the_default_does_not() -> None:
    plain, part = compose([]), compose([FIVE_ON])
    assert plain.run_id("a") != part.run_id("a")
    assert "classes" not in plain.to_mapping()["data"]
    assert compose(["data.classes=null"]).run_id("a") == plain.run_id("a")


def test_copies_are_looked_for_among_them() -> None:
    both = load(compose(["data=patches", "data.classes=[1]", "data.deduplicate=near"]).data)
    assert both.labels is not None
    assert set(both.labels.tolist()) == {1}
    assert both.removed is not None
    assert len(both.removed.pairs) > 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["data.classes=[3,12]"], r"data.classes=\[3,12\] names 12, and the labels of data=digits are 0 to 9"),
        (["data.classes=[]"], "are no labels in ascending order"),
        (["data.classes=[3,3]"], "are no labels in ascending order"),
        (["data.classes=[3]", "data.n=400"], "data.n=400 .* images outside its test split"),
        (["data.classes=[-1]"], "data.classes"),
    ],
)
def test_what_is_no_choice_of_classes(words: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        plan(compose([*words, "device=cpu"]))


def test_a_set_without_labels_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    import diffmem.data

    config = compose([FIVE_ON, "data.scale=3"])
    bare = replace(load(compose([]).data), labels=None, classes=())
    monkeypatch.setitem(diffmem.data.LOADERS, type(config.data), lambda cfg: bare)
    diffmem.data._load.cache_clear()
    with pytest.raises(InputError, match="needs labels, and data=digits has none"):
        load(config.data)
    diffmem.data._load.cache_clear()
