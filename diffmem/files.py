"""Files and folders, written whole or not at all, and the checks before anything is written.

What is written is written beside its place, flushed to the disk and renamed, so a reader sees the old file or the new
one, and a killed writer leaves neither half.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from diffmem.errors import InputError


class DamagedWarning(UserWarning):
    """Something on disk was damaged and has been worked around; the message names it."""


def check_folder(folder: Path, option: str) -> None:
    """Raise InputError where the folder that `option` names is none, or can't be made or written. Writes nothing."""
    for place in (folder, *folder.absolute().parents):
        if place.exists():
            if not place.is_dir():
                raise InputError(
                    f"{option}={folder}: {place} is a file where a directory is needed: choose another {option}."
                )
            if not os.access(place, os.W_OK | os.X_OK):
                raise InputError(f"{option}={folder}: {place} is not writable: choose another {option}.")
            return


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write `content` at `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


@contextlib.contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """A fresh folder to fill, which becomes `path` when the block ends well and is removed when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        yield beside
        for file in [entry for entry in beside.rglob("*") if entry.is_file()]:
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        for folder in [beside, *(entry for entry in beside.rglob("*") if entry.is_dir())]:
            sync_directory(folder)
        shutil.rmtree(path, ignore_errors=True)
        beside.rename(path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Flush a folder's entries (a rename is durable only then)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
