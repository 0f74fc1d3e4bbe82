"""Words that verbs share."""

import pytest

from diffmem.cli.words import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (5399, "90 min"),
        (9000, "2.5 h"),
        (129599, "36 h"),
        (200000, "2 days"),
    ],
)
def test_a_time_to_wait(seconds: float, words: str) -> None:
    assert duration(seconds) == words
