"""Weights from files: verified by checksum, and read without running code that a file may hold.

TorchScript is a program of tensor operations that torch's own interpreter runs; a checkpoint is read as weights only.
Neither opens a pickle.
"""

import hashlib
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffmem.errors import InputError
from diffmem.files import check_regular


def file_sha256(path: Path) -> str:
    """SHA-256 of a regular file, read in parts."""
    check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_script(path: Path) -> nn.Module:
    """The TorchScript module in `path`, on the CPU, in eval mode. Raises InputError where it is none."""
    try:
        with warnings.catch_warnings():
            # published weights (Inception, SSCD) are in this format, whatever torch recommends for new ones
            warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated", DeprecationWarning)
            module = torch.jit.load(str(path), map_location="cpu")
    except RuntimeError as error:
        raise InputError(
            f"{path} is no TorchScript file ({_first_line(error)}). If it is a pickled model, it may hold any code and "
            "is not opened: save it with torch.jit.script(model).save(...) or torch.jit.trace."
        ) from error
    loaded: nn.Module = module.eval()
    return loaded


def load_weights(path: Path) -> dict[str, Tensor]:
    """The weights by name in a checkpoint of torch.save. Raises InputError where it holds anything else."""
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(
            f"{path} holds no weights alone ({_first_line(error)}): code in a file is not run. Get it again from its "
            "source."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds no weights by name: give a file of torch.save(model.state_dict()).")
    return state


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
