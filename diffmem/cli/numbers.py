"""Numbers as options of a verb: each with its range, checked when the words are read."""

import argparse
from collections.abc import Callable

from diffmem.arguments import LARGEST, check_range, shown
from diffmem.errors import InputError


def whole(low: int = 0, high: int = LARGEST) -> Callable[[str], int]:
    """A reader of whole numbers from `low` to `high`, for `type=` of an argument."""
    return lambda word: int(_read(int, "a whole number", word, low=low, high=high))


def number(low: float, high: float) -> Callable[[str], float]:
    """A reader of finite numbers from `low` to `high`."""
    return lambda word: float(_read(float, "a number", word, low=low, high=high))


def _read(kind: type, words: str, word: str, **bounds: float) -> float:
    try:
        value: float = kind(word)
        check_range("it", value, bounds)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error).replace("it=", "", 1).rstrip(".")) from error
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{shown(word)} is not {words}") from error
    return value
