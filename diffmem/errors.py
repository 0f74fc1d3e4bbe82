"""The ways a request can fail: the input is bad, the answer can't be trusted, or something nobody thought of.

A bad input is found before anything is written or trained. Its message names the option, the value,
what is allowed and the fix, in one or two sentences; the command line prints it and exits with 2. Anything else that
fails inside a `reading` block carries what was being read to the command line, which says so and exits with 1.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class InputError(ValueError):
    """A bad option, file or run directory: say which, what is allowed, and how to mend it."""


class InUse(InputError):
    """Another process owns the run: it may be waited for."""


def all_at_once(*checks: Callable[[], T]) -> list[T]:
    """What each of `checks` returns. Raises one InputError with all that they complain of."""
    found: list[T] = []
    complaints: list[str] = []
    for check in checks:
        try:
            found.append(check())
        except InputError as error:
            complaints.append(str(error))
    if complaints:
        raise InputError(" ".join(complaints))
    return found


class NotReached(ValueError):
    """A time that the curve does not hold. `last_step` and `value` are what is known."""

    def __init__(self, message: str, *, last_step: float, value: float) -> None:
        super().__init__(message)
        self.last_step = last_step
        self.value = value


@contextmanager
def reading(what: object) -> Iterator[None]:
    """Whatever fails inside, expected or not, carries what was being read as a note (the innermost comes first)."""
    try:
        yield
    except Exception as error:
        error.add_note(str(what))
        raise


def first_line(error: BaseException, length: int = 300) -> str:
    """What an error of somebody else's code says, short enough for a sentence."""
    words = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")
    return words if len(words) <= length else words[:length] + "..."
