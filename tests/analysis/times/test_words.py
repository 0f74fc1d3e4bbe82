"""Numbers of steps in words: as exact as their interval, and the same in the tables and in the sentence."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffmem.analysis.laws.family import laws
from diffmem.analysis.laws.sentence import sentence
from diffmem.analysis.times.family import family_times
from diffmem.analysis.times.words import interval, lower_end, steps, time_words
from tests.helpers.families import as_family, planted_rows

NAN = math.nan


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (162.3, 145, 329, "160 [140, 330]"),
        (387.2, 341, 437, "390 [340, 440]"),
        (2398.6, 2391, 2409, "2,399 [2,391, 2,409]"),
        (2398.6, 2100, 2900, "2,400 [2,100, 2,900]"),
        (620, 388, 1010, "620 [380, 1,010]"),
        (50, 4, math.inf, "50 [4, not reached]"),
        (7.25, 6.9, 7.9, "7.2 [6.9, 7.9]"),
        (3.0, 0.4, 90, "3 [0.4, 90]"),
        (12400, NAN, NAN, "12,400"),
        (7.25, NAN, NAN, "7.2"),
    ],
)
def test_an_interval_says_how_exact_its_value_is(value: float, low: float, high: float, words: str) -> None:
    assert interval(value, low, high) == words
    assert words.split(" [")[0] == steps(value, low, high)


def number(text: str) -> float:
    return float(text.replace(",", ""))


@given(st.floats(0.5, 1e7), st.floats(0.01, 0.99), st.floats(1.01, 30))
def test_what_is_shown_holds_the_interval_and_is_near_the_value(value: float, below: float, above: float) -> None:
    low, high = below * value, above * value
    shown, *ends = map(number, re.findall(r"[\d.,]+\d|\d", interval(value, low, high)))
    slack = 0.051  # one decimal is shown at least
    assert ends[0] <= low + slack
    assert ends[1] >= high - slack
    assert ends[0] == number(lower_end(value, low, high))
    assert abs(shown - value) <= max(slack, 0.51, 0.15 * (high - low))
    assert abs(shown - value) <= 0.51 * value


def test_the_sentence_says_the_numbers_of_the_table() -> None:
    times = family_times(as_family(*(planted_rows(n, 30.0 * n, 150) for n in (16, 32, 64, 128))), 100)
    said = sentence(laws(times), times)
    last = times.iloc[-1].to_dict()
    for name in ("tau_gen", "tau_bias"):
        assert f"step {time_words(last, name).split(' [')[0]}" in said


def test_where_nothing_was_reached_the_sentence_says_how_to_go_on() -> None:
    tables = [planted_rows(n, 1e9, 1e9, tau_bias=1e9) for n in (16, 32, 64)]
    rows = [table[table["step"] <= 1581] for table in tables]
    times = family_times(as_family(*rows), 20)
    assert sentence(laws(times), times) == (
        "nothing memorized by step 1,581, samples are far from held-out images, tau_bias not reached by step 1,581; go "
        "on with train.steps=6324"
    )
    some = family_times(as_family(*(planted_rows(n, 1e9, 150, tau_bias=1e9) for n in (16, 32, 64))), 20)
    assert sentence(laws(some), some).startswith("from n = 16 to 64 nothing memorized by step 50,000, tau_gen ~ n^")
    few = [table.assign(**{"fd_pixels@copies": 2.0}) for table in rows]
    times = family_times(as_family(*few), 20)
    assert "these images are too few for the level of quality" in sentence(laws(times), times)


def test_of_one_run_the_sentence_says_its_times() -> None:
    times = family_times(as_family(planted_rows(64, 2500, 150)), 100)
    said = sentence(laws(times), times)
    row = times.iloc[0].to_dict()
    assert said == (
        f"one run, n = 64: tau_gen {time_words(row, 'tau_gen')}, tau_bias {time_words(row, 'tau_bias')}, tau_mem "
        f"{time_words(row, 'tau_mem')}; laws take runs at three n or more"
    )
    early = planted_rows(64, 1e9, 1e9, tau_bias=1e9)
    times = family_times(as_family(early[early["step"] <= 1581]), 20)
    assert "tau_mem > 1,581 (not reached); go on with train.steps=6324; laws" in sentence(laws(times), times)
