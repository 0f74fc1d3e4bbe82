"""Arrays that take long to prepare, kept on disk with their checksum.

An entry is `<key>.npy` (uint8, mapped from disk when read) and `<key>.json` (its sha256, and the recipe).
The key is the hash of the recipe, which names everything the content depends on. The array is written beside its
place and renamed, the json after it; so an entry without json is not there, and one whose bytes do not give its
sha256 is damaged and prepared again.
"""

import fcntl
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffmem.arguments import path
from diffmem.data.dataset import content_sha256
from diffmem.errors import InputError
from diffmem.files import DamagedWarning, check_regular, read_bytes, write_bytes


def cache_folder() -> Path:
    """$DIFFMEM_CACHE, else diffmem in $XDG_CACHE_HOME, else in ~/.cache."""
    if own := os.environ.get("DIFFMEM_CACHE"):
        return path("DIFFMEM_CACHE", own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return path("XDG_CACHE_HOME", shared) / "diffmem"
    try:
        return Path.home() / ".cache" / "diffmem"
    except RuntimeError as error:
        raise InputError(f"there is no home folder ({error}): set the environment variable DIFFMEM_CACHE.") from error


def prepared(
    kind: str, recipe: Mapping[str, Any], shape: tuple[int, ...], blocks: Callable[[], Iterable[np.ndarray]]
) -> tuple[np.ndarray, str]:
    """The array of `recipe`, from the cache or else from `blocks`, and the sha256 of its bytes.

    `blocks()` gives uint8 arrays that make up `shape` when laid end to end. One process prepares; others that want
    the same entry wait for it. Raises InputError where the cache can't be written.
    """
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    entry = cache_folder() / kind / key
    try:
        return _read(entry, shape)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # not there, or not ours to read: what stands in the way of writing is said below
    except (OSError, ValueError, KeyError, TypeError) as error:
        warnings.warn(
            f"{entry}.npy is damaged and is prepared again from the images: {error}", DamagedWarning, stacklevel=2
        )
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with entry.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                return _read(entry, shape)  # another process may have prepared it while this one waited
            except (OSError, ValueError, KeyError, TypeError):
                _write(entry, recipe, shape, blocks())
            return _read(entry, shape)
    except OSError as error:
        raise InputError(
            f"The cache at {cache_folder()} can't be written ({error}): set the environment variable DIFFMEM_CACHE "
            "to a folder with room, or make room."
        ) from error


def find(kind: str, sha256: str, item: tuple[int, ...]) -> np.ndarray | None:
    """An entry of this checksum, of any recipe, whose items have the shape `item`; None where there is none."""
    for sidecar in sorted((cache_folder() / kind).glob("*.json")):
        try:
            about = json.loads(read_bytes(sidecar))
            if about["sha256"] == sha256 and tuple(about["shape"][1:]) == item:
                return _read(sidecar.with_suffix(""), tuple(about["shape"]))[0]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # damaged, or being written: it is prepared again when its images are asked for
    return None


def _read(entry: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
    """The stored array, mapped from disk and verified. Raises FileNotFoundError or, where it is damaged, others."""
    expected = json.loads(read_bytes(entry.with_suffix(".json")))["sha256"]
    check_regular(entry.with_suffix(".npy"))
    stored = np.lib.format.open_memmap(entry.with_suffix(".npy"), mode="r")
    if stored.dtype != np.uint8 or stored.shape != shape:
        raise ValueError(f"it holds {stored.dtype} {stored.shape}, not uint8 {shape}")
    if content_sha256(stored) != expected:
        raise ValueError("its sha256 is not the one it was written with")
    return stored, expected


def _write(entry: Path, recipe: Mapping[str, Any], shape: tuple[int, ...], blocks: Iterable[np.ndarray]) -> None:
    # Streamed to a file rather than into a map of it: on a full disk that is an OSError, and a map dies of a signal.
    beside = entry.with_name(f".{entry.name}.npy")
    digest = hashlib.sha256()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    try:
        with beside.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for block in blocks:
                content = block.tobytes()
                digest.update(content)
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(entry.with_suffix(".npy"))
    finally:
        beside.unlink(missing_ok=True)
    sidecar = {"sha256": digest.hexdigest(), "shape": shape, "recipe": recipe}
    write_bytes(entry.with_suffix(".json"), json.dumps(sidecar, indent=1).encode())
