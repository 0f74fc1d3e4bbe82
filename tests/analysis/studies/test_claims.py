"""The table of claims: when ours and what was published agree."""

import math
from pathlib import Path

import pandas as pd
import pytest

from diffmem.analysis.studies import claims
from diffmem.analysis.studies.reading import Found, missing
from diffmem.records import Claim

CASES = [
    (1, (0.9, 1.1), "yes", "1"),
    (1, (1.1, 1.3), "no", "1"),
    ((3e6, 4.5e6), (4e6, 6e6), "yes", "3e+06 to 4.5e+06"),
    ((3e6, 4.5e6), (5e6, 6e6), "no", "3e+06 to 4.5e+06"),
    ((0, math.inf), (0.1, 0.4), "yes", "above 0"),
    ((0, math.inf), (-0.1, 0.4), "open", "above 0"),
    ((0, math.inf), (-0.4, -0.1), "no", "above 0"),
    ((-math.inf, 2), (-1, 1), "yes", "below 2"),
    (None, (0, 1), "", ""),
]


@pytest.mark.parametrize(("published", "interval", "verdict", "words"), CASES)
def test_agreement(
    published: float | tuple[float, float] | None, interval: tuple[float, float], verdict: str, words: str
) -> None:
    claim = Claim(words="x", published=published)
    assert claims.agrees(claim, Found(sum(interval) / 2, *interval, "")) == verdict
    assert claims.published(claim) == words


def test_a_number_without_an_interval_decides_nothing() -> None:
    found = Found(1.0, float("nan"), float("nan"), "")
    assert claims.agrees(Claim(words="x", published=1), found) == "open"
    assert claims.agrees(Claim(words="x", published=None), found) == ""


def test_why_is_said_where_nothing_was_published() -> None:
    of = {"x": Claim(words="x", published=None, why="as derived")}
    assert list(claims.table(of, {"x": Found(1, 0.9, 1.1, "s")}, reduced=True)["why"]) == ["as derived"]


def test_why_is_said_of_reduced_runs_that_disagree_alone(tmp_path: Path) -> None:
    of = {name: Claim(words=name, published=1, why="too small") for name in ("agrees", "differs", "absent")}
    found = {"agrees": Found(1, 0.9, 1.1, "s"), "differs": Found(2, 1.9, 2.1, "s"), "absent": missing("s", "no runs")}
    reduced, full = (claims.table(of, found, reduced=one) for one in (True, False))
    assert list(reduced["why"]) == ["", "too small", "no runs"]
    assert list(full["why"]) == ["", "", "no runs"]
    assert list(reduced["agrees"]) == ["yes", "no", "not measured"]
    read = pd.read_csv(claims.write(reduced, tmp_path))
    assert list(read["ours"][:2]) == [1, 2]
    assert claims.described(reduced).splitlines()[1] == "differs: published 1, ours 2 [1.9, 2.1]. no"
