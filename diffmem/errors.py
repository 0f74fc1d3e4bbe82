"""The two ways a request can fail: the input is bad, or the answer can't be trusted.

A bad input is found before anything is written or trained. Its message names the option, the value,
what is allowed and the fix, in one or two sentences; the command line prints it and exits with 2.
"""


class InputError(ValueError):
    """A bad option, file or run directory: say which, what is allowed, and how to mend it."""


class NotReached(ValueError):
    """A time that the curve does not hold. `last_step` and `value` are what is known."""

    def __init__(self, message: str, *, last_step: float, value: float) -> None:
        super().__init__(message)
        self.last_step = last_step
        self.value = value
