"""What memory there is, asked before it is taken: an allocation that cannot be had is refused with its size.

What is needed is counted from below, so a refusal is never wrong; whoever passes may still run out.
"""

import os
import resource
from pathlib import Path

from diffmem.errors import InputError

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container


class OutOfMemory(RuntimeError):
    """A run came to need more memory than its device had left; the message says what to use less of."""


def there_are() -> int:
    """Bytes of memory that this process may come to hold: of the machine, its container and its own limit."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for place in LIMITS:
        try:
            word = Path(place).read_text().strip()
        except OSError:
            continue
        if word.isdigit():
            found.append(int(word))
    own, _ = resource.getrlimit(resource.RLIMIT_AS)
    return min([*found, *([own] if own != resource.RLIM_INFINITY else [])])


def check(needed: float, what: str, of_them: str, there: int | None = None) -> None:
    """Raise InputError where `what` takes at least `needed` bytes and `there` are fewer (by default, in this machine).

    `of_them` says what for.
    """
    there = there_are() if there is None else there
    if needed > there:
        raise InputError(
            f"{what} takes at least {gib(needed)} of memory, {of_them}, and {gib(there)} are there: use less."
        )


def gib(count: float) -> str:
    return f"{count / 2**30:,.3g} GiB" if count < 1e15 else f"{count / 2**30:.0e} GiB"
