"""Tensors that others saved, read without running their code and without taking more memory than the file has bytes."""

import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from diffmem import memory
from diffmem.errors import InputError, first_line
from diffmem.files import check_regular


def load_pickle(path: Path) -> object:
    """What torch.save wrote at `path`, mapped from disk where the file allows it.

    Raises InputError where it is damaged, packed, or holds anything that could run code.
    """
    _check_file(path)
    try:
        packed = zipfile.is_zipfile(path)  # files of torch < 1.6 are no zip archives and can't be mapped
        if packed:
            _check_stored(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=packed)
    except InputError:
        raise
    except Exception as error:  # a damaged file, or one that holds code, makes the unpickler fail in any way
        raise InputError(
            f"{path} is refused ({_why(error)}): only tensors are read, nothing that could run code; save it as "
            "safetensors, or as a tensor with torch.save."
        ) from error


def load_tensor(path: Path) -> Tensor:
    """The dense tensor in a .pt, .pth, .npy or .safetensors file (there, the one called images, or the only one).

    Raises InputError where there is none, or where it repeats its numbers instead of holding them.
    """
    return _dense(path, _read(READERS, path))


def load_labelled(path: Path) -> tuple[Tensor, Tensor | None]:
    """The images in a tensor file, or in an .npz, and the labels beside them; None where there are none.

    Names tell them apart: images and labels of an .npz, a .safetensors or a dict that torch.save wrote; the only
    array of a file is the images. Raises InputError as `load_tensor` does, and for a file of another kind.
    """
    if path.suffix not in NAMED:
        raise InputError(f"{path} is no array: give a file that ends in {', '.join(NAMED)}.")
    found = _read(NAMED, path)
    images = found.get("images", next(iter(found.values())) if len(found) == 1 else None)
    if images is None:
        raise InputError(f"{path} holds {len(found)} arrays, none called images: save one, or call it images.")
    labels = found.get("labels")
    return _dense(path, images), None if labels is None or labels is images else _dense(path, labels)


def _read(readers: dict[str, Any], path: Path) -> Any:
    """What the reader of the file's suffix makes of it. Raises InputError where it is damaged."""
    _check_file(path)
    try:
        return readers[path.suffix](path)
    except InputError:
        raise
    except Exception as error:  # a damaged file makes its reader fail in any way
        raise InputError(f"{path} can't be read ({_why(error)}): give a whole tensor file.") from error


def _dense(path: Path, found: object) -> Tensor:
    """`found`, detached, where it is a dense tensor that holds its numbers."""
    if not isinstance(found, Tensor) or found.layout != torch.strided or found.device.type != "cpu":
        raise InputError(f"{path} holds no dense tensor: save images as one tensor [N, C, H, W].")
    held = found.untyped_storage().nbytes() // found.element_size()
    if found.numel() > held:
        raise InputError(
            f"{path} holds {held} numbers, and its tensor of shape {tuple(found.shape)} repeats them: save it with "
            ".contiguous()."
        )
    return found.detach()


def _check_file(path: Path) -> None:
    try:
        check_regular(path)
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}): give a tensor file.") from error


def _array(path: Path) -> Tensor:
    return torch.from_numpy(np.lib.format.open_memmap(path, mode="c"))


def _safetensors(path: Path) -> Tensor:
    with safe_open(path, "pt") as file:
        names = list(file.keys())
        if "images" not in names and len(names) != 1:
            raise InputError(f"{path} holds {len(names)} tensors, none called images: save one, or call it images.")
        tensor: Tensor = file.get_tensor("images" if "images" in names else names[0])
    return tensor


def _pickled(path: Path) -> dict[str, Any]:
    found = load_pickle(path)
    return found if isinstance(found, dict) and found else {"images": found}


def _safetensors_named(path: Path) -> dict[str, Tensor]:
    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if len(file.keys()) == 1 or name in ("images", "labels")]  # noqa: SIM118
        return {name: file.get_tensor(name) for name in names}


def _npz(path: Path) -> dict[str, Tensor]:
    """The arrays of an .npz: mapped from disk where they are not packed, else read where memory has room for them."""
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
        wanted = [entry for entry in entries if len(entries) == 1 or entry.filename in ("images.npy", "labels.npy")]
        found = {}
        for entry in wanted:
            if entry.compress_type == zipfile.ZIP_STORED:
                found[entry.filename[:-4]] = torch.from_numpy(_mapped(path, archive, entry))
                continue
            memory.check(entry.file_size, str(path), f"to unpack its {entry.filename}")
            with archive.open(entry) as file:
                found[entry.filename[:-4]] = torch.from_numpy(np.lib.format.read_array(file, allow_pickle=False))
    return found


def _mapped(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """A stored entry of an .npz as a map of its bytes."""
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(file)
        start = file.tell()
    if dtype.hasobject:
        raise InputError(f"{path} holds Python objects: save numbers alone.")
    with path.open("rb") as raw:
        raw.seek(entry.header_offset + 26)
        names = sum(struct.unpack("<2H", raw.read(4)))
    offset = entry.header_offset + 30 + names + start
    return np.memmap(path, dtype, "c", offset, shape, "F" if fortran else "C")


NAMED: dict[str, Any] = {
    ".npy": lambda path: {"images": _array(path)},
    ".npz": _npz,
    ".pt": _pickled,
    ".pth": _pickled,
    ".safetensors": _safetensors_named,
}
READERS: dict[str, Any] = {".pt": load_pickle, ".pth": load_pickle, ".npy": _array, ".safetensors": _safetensors}


def _check_stored(path: Path) -> None:
    """torch.save packs nothing: a packed file can stand for any amount of memory."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or (
        sum(entry.file_size for entry in entries) > path.stat().st_size
    ):
        raise InputError(f"{path} is a packed archive: give the file that torch.save wrote.")


def _why(error: Exception) -> str:
    """What is wrong, in our words where a library would advise to switch its safety off."""
    named = re.search(r"GLOBAL ([\w.]+)|Unsupported (?:class|global)[^\w]+([\w.]+)", str(error))
    if named:
        return f"it holds {named[1] or named[2]}, which is no tensor"
    if "weights_only" in str(error) or "Python objects" in str(error):
        return "it holds something else than tensors"
    return first_line(error, 120)
