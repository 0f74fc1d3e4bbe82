"""Weights that others saved, told apart by a hash of the file."""

import hashlib
from pathlib import Path

from diffmem.files import check_regular


def digest(file: Path) -> str:
    """Eight hex digits of a file's content."""
    check_regular(file)
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:8]


def stored_parameters(file: Path) -> int:
    """How many float32 parameters a file of weights has room for."""
    return file.stat().st_size // 4
