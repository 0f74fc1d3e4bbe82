"""Whether the machines that will work on a sweep see its folder: asked before the first run is handed out.

A file with a random token is left beside the runs to be; each machine reads it and leaves another for a moment. So a
folder that only looks the same elsewhere is found, one that is read-only there, and one without room.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from diffmem.errors import InputError

BLOCK = bytes(4096)  # written to see whether there is room


@dataclass(frozen=True)
class Question:
    """What a machine is asked: does it read `token` in `path`, and can it write beside it?"""

    path: Path
    token: str

    def trouble(self) -> str | None:
        """On the machine that is asked: what keeps it from the folder, in words; None where nothing does."""
        folder = self.path.parent
        try:
            if self.path.read_text() != self.token:
                return f"has another folder in the place of {folder}"
        except OSError as error:
            return f"does not see what was written in {folder} ({error.strerror})"
        try:
            _try_to_write(self.path.with_name(f"{self.path.name}-{secrets.token_hex(8)}"), BLOCK)
        except OSError as error:
            return f"cannot write in {folder} ({error.strerror})"
        return None


@contextlib.contextmanager
def question(out: Path) -> Iterator[Question]:
    """A question about the folder `out`, or about the nearest above it that is there already.

    Raises InputError where this machine itself cannot write there.
    """
    folder = next(place for place in (out, *out.absolute().parents) if place.is_dir())
    asked = Question(folder.absolute() / f".probe-{os.getpid()}-{secrets.token_hex(4)}", secrets.token_hex(16))
    try:
        try:
            asked.path.write_text(asked.token)
        except OSError as error:
            raise InputError(
                f"out={out} cannot be written ({error.strerror}): make room there, or choose another out."
            ) from error
        yield asked
    finally:
        asked.path.unlink(missing_ok=True)


def check(out: Path, troubles: Mapping[str, str | None]) -> None:
    """Raise InputError where a machine, by name, has said that something keeps it from the folder `out`."""
    kept = {machine: words for machine, words in troubles.items() if words is not None}
    if kept:
        machine, words = next(iter(kept.items()))
        others = f" (and {len(kept) - 1} more of {len(troubles)} kept from it)" if len(kept) > 1 else ""
        raise InputError(
            f"out={out}: {machine} {words}{others}. All machines of a sweep write into one folder: choose an out on a "
            "disk that they share and may write."
        )


def _try_to_write(path: Path, content: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)
