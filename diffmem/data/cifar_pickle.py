"""One batch of CIFAR-10's python archive: a pickle of a numpy array, read by a parser that can call nothing.

Whatever class or function a pickle names, it is given a stand-in of this file that stores what it is handed. So no
pickle makes this run code, and one that names anything else than an array's own parts is refused.
"""

import io
import math
import pickle
from typing import Any

import numpy as np

from diffmem.errors import InputError, first_line


def read(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images [N, 3072] and labels int64 [N]. Raises InputError that says what the bytes are instead."""
    try:
        found = _Parser(io.BytesIO(content), encoding="bytes").load()
    except InputError:
        raise
    except Exception as error:  # broken bytes make the unpickler fail in any way
        raise InputError(f"can't be read ({first_line(error)})") from error
    if not isinstance(found, dict):
        raise InputError("holds no batch of CIFAR-10")
    named = {key.decode("latin-1") if isinstance(key, bytes) else key: value for key, value in found.items()}
    data, labels = named.get("data"), named.get("labels")
    if not isinstance(data, _Array) or not isinstance(labels, list):
        raise InputError("holds no batch of CIFAR-10: data and labels are missing")
    images = data.values()
    if not all(type(label) is int for label in labels) or len(labels) != len(images):
        raise InputError(f"holds {len(images)} images and {len(labels)} labels that do not go with them")
    return images, np.array(labels, dtype=np.int64)


class _Dtype:
    """Stands in for numpy.dtype: keeps its word."""

    def __init__(self, word: Any = None, *_: Any) -> None:
        self.word = word

    def __setstate__(self, state: Any) -> None:
        pass  # byte order, of which single bytes have none


class _Array:
    """Stands in for numpy.ndarray: keeps its shape, type and bytes."""

    state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def values(self) -> np.ndarray:
        """uint8 [N, 3072], or InputError."""
        try:
            _, shape, dtype, fortran, content = self.state
            rows, columns = shape
            whole = dtype.word in ("u1", b"u1") and not fortran and columns == 3072 and rows > 0
            if whole and len(content) == math.prod(shape):
                return np.frombuffer(content, np.uint8).reshape(rows, columns)
        except (TypeError, ValueError, AttributeError):
            pass
        raise InputError("holds an array that is not of bytes [N, 3072]")


def _array(*_: Any) -> _Array:
    return _Array()


def _encoded(text: str, encoding: Any) -> bytes:
    """How Python 3 writes bytes under the old protocols."""
    return text.encode("latin-1")


STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("_codecs", "encode"): _encoded,
}


class _Parser(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return STAND_INS[module, name]
        except KeyError:
            raise InputError(f"is refused: it names {module}.{name}, which is no part of an array") from None

    def persistent_load(self, pid: Any) -> Any:
        raise InputError("is refused: it names objects of elsewhere")
