"""Weights that others saved: read without running their code, told apart by a hash of the file."""

import hashlib
import zipfile
from pathlib import Path

import torch

from diffmem.errors import InputError


def load_state(path: Path) -> object:
    """What torch.save wrote at `path`, read without running code. Raises InputError, also where it holds code."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # a damaged file, or one that holds code, makes the unpickler fail in any way
        reason = str(error).partition("\n")[0].split("(1)")[0].strip() or type(error).__name__
        raise InputError(
            f"{path} is refused ({reason}): only tensors are read, nothing that could run code; save it as safetensors."
        ) from error


def digest(file: Path) -> str:
    """Eight hex digits of a file's content."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:8]
