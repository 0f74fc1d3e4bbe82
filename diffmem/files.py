"""Single files: written whole or not at all, read only where they are files, and the checks before that."""

import errno
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from diffmem.arguments import shown
from diffmem.errors import InputError, first_line
from diffmem.tree import Tree

LIMIT = 1 << 26  # bytes of a file of settings or rows
PATH = 200  # characters of a path in a message
ROOM = 160  # bytes that the names in a run directory add to its own
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # the disk's failures
MISTAKES = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EACCES, errno.EROFS)  # a path's


class DamagedWarning(UserWarning):
    """Something on disk was damaged and has been worked around; the message names it."""


def check_folder(folder: Path, option: str) -> None:
    """Raise InputError where the folder that `option` names is none, or can't be made or written. Leaves nothing.

    Raises OSError where the disk is full.
    """
    whole = folder.absolute()
    for place in (whole, *whole.parents):
        try:
            found = place.stat()
        except (FileNotFoundError, NotADirectoryError):
            if place.is_symlink():
                raise _no_place(folder, option, f"{shown(str(place), PATH)} is a link that leads nowhere") from None
            continue
        except OSError as error:  # a name too long, a loop of links
            raise _no_place(
                folder, option, f"{shown(str(place), PATH)} cannot be reached ({error.strerror})"
            ) from error
        if not stat.S_ISDIR(found.st_mode):
            raise _no_place(folder, option, f"{shown(str(place), PATH)} is a file where a directory is needed")
        longest = os.pathconf(place, "PC_NAME_MAX")
        if any(len(os.fsencode(part)) > longest for part in whole.relative_to(place).parts):
            raise _no_place(folder, option, f"a name in it is longer than {longest} bytes")
        if len(os.fsencode(whole)) > os.pathconf(place, "PC_PATH_MAX") - ROOM:
            raise _no_place(folder, option, "it is too long for the files in it")
        try:
            tempfile.TemporaryFile(dir=place).close()
        except (PermissionError, FileNotFoundError) as error:
            raise _no_place(folder, option, f"{shown(str(place), PATH)} is not writable") from error
        except OSError as error:
            if error.errno in FULL:
                raise
            raise _no_place(folder, option, f"{shown(str(place), PATH)} is not writable ({error.strerror})") from error
        return


def check_files(folder: Path, names: Iterable[str], option: str) -> None:
    """Raise InputError where something else than a file stands in the place of one of `names` in `folder`."""
    for name in names:
        place = folder / name
        if place.exists() and not place.is_file():
            raise _no_place(folder, option, f"{shown(str(place), PATH)} is no file, and a file is written there")


def _no_place(folder: Path, option: str, why: str) -> InputError:
    return InputError(f"{option}={shown(str(folder), PATH)}: {why}: choose another {option}.")


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write `content` at `path`, whole or not at all."""
    Tree(path.parent).write(path, content, durable=durable)


def read_bytes(path: Path, limit: int | None = LIMIT) -> bytes:
    """The content of a regular file, or InputError where `path` is none or holds more than `limit` bytes (None: any).

    Raises FileNotFoundError where there is nothing, OSError where the disk does not give it.
    """
    check_regular(path, limit)
    with path.open("rb") as file:
        return file.read(limit)


def json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises InputError for anything else, OSError as `read_bytes` does."""
    found = json_value(path)
    if not isinstance(found, dict):
        raise InputError(f"{path} holds no JSON object.")
    return found


def json_value(path: Path) -> Any:
    """What is in a JSON file, without NaN and infinity. Raises InputError where it is none."""
    content = read_bytes(path)
    try:
        return json.loads(content, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON ({first_line(error)}).") from error


def no_constant(word: str) -> NoReturn:
    """For `parse_constant` of a JSON reader."""
    raise ValueError(f"{word} is no finite number")


def check_regular(path: Path, limit: int | None = None) -> None:
    """Raise InputError where `path` is no regular file (opening a pipe would wait for ever) or is past `limit` bytes.

    Raises FileNotFoundError where there is nothing.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path} is no regular file: put the file itself in its place.")
    if limit is not None and found.st_size > limit:
        raise InputError(f"{path} has {found.st_size} bytes, and what belongs there has {limit} at most: look into it.")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
