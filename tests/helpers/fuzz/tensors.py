"""Tensor files of every kind, sound and broken, as training images and as what is compared."""

import io
import os
import pickle
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from tests.helpers.fuzz.images import TRAIN, plant
from tests.helpers.fuzz.judge import Case


class Code:
    """Unpickling this starts a program."""

    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


def _array(shape: tuple[int, ...], kind: str = "<f4", payload: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": kind, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + payload


def _saved(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def _safetensors(header: str) -> bytes:
    return struct.pack("<Q", len(header)) + header.encode()


GOOD = torch.rand(200, 1, 4, 4, generator=torch.Generator().manual_seed(0))
SAVED: dict[str, Any] = {
    "good": GOOD,
    "nan": GOOD * torch.nan,
    "inf": GOOD / 0,
    "negative": -GOOD,
    "large": GOOD * 300,
    "bytes": (GOOD * 255).byte(),
    "half": GOOD.half(),
    "double": GOOD.double(),
    "long": GOOD.long(),
    "bool": GOOD > 0.5,
    "complex": GOOD.to(torch.cfloat),
    "stride 0": torch.zeros(1).expand(10**9, 1, 4, 4),
    "sparse": GOOD.to_sparse(),
    "meta": torch.empty(10**9, 1, 4, 4, device="meta"),
    "empty": torch.empty(0, 1, 4, 4),
    "scalar": torch.tensor(1.0),
    "flat": GOOD.flatten(),
    "wide": torch.rand(200, 1, 4, 8),
    "dict": {"images": GOOD},
    "list": [GOOD],
    "code": Code(),
    "text": "images",
    "one": GOOD[:1].clone(),
    "equal": GOOD[:1].expand(200, 1, 4, 4).contiguous(),
    "rgb": torch.rand(200, 3, 4, 4),
    "gray": GOOD[:, 0],
    "grad": GOOD.clone().requires_grad_(),
    "module": torch.nn.Linear(2, 2),
}
FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    **{kind: (".pt", partial(_saved, value)) for kind, value in SAVED.items()},
    "old": (".pt", lambda: _saved(GOOD, _use_new_zipfile_serialization=False)),
    "pickle": (".pt", lambda: pickle.dumps(Code())),
    "deep pickle": (".pt", lambda: b"(" * 100_000 + b"."),
    "web page": (".pt", lambda: b"<html>" * 50),
    "array": (".npy", lambda: _array((200, 1, 4, 4), payload=GOOD.numpy().tobytes())),
    "array of 1e15": (".npy", lambda: _array((10**15, 1, 4, 4))),
    "array of objects": (".npy", lambda: _array((2,), "|O", pickle.dumps([Code(), 1]))),
    "array of text": (".npy", lambda: _array((2,), "<U4", bytes(32))),
    "array of no size": (".npy", lambda: _array((-1, 4, 4))),
    "header alone": (".safetensors", lambda: struct.pack("<Q", 1 << 60)),
    "past its end": (
        ".safetensors",
        lambda: _safetensors('{"a":{"dtype":"F32","shape":[9,1,8,8],"data_offsets":[0,2304]}}'),
    ),
    "of nothing": (".safetensors", lambda: _safetensors("{}")),
}
HARMS = ["none", "none", "none", "cut", "flip", "pipe", "loop", "folder"]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    kind, harm = draw(st.sampled_from(sorted(FILES))), draw(st.sampled_from(HARMS))
    suffix, content = FILES[kind]
    at = draw(st.integers(0, 100_000))
    verb = draw(st.sampled_from(["train", "compare samples", "compare train"]))
    name = f"images{suffix}"
    words = {
        "train": ["train", *TRAIN, "data=celeba", f"data.root={name}", "data.size=4", "data.channels=1"],
        "compare samples": ["compare", name, "--train", "good.pt", "--out", "out", "--samples", "4"],
        "compare train": ["compare", "good.pt", "--train", name, "--out", "out", "--samples", "4"],
    }[verb]

    def make(folder: Path) -> None:
        torch.save(GOOD, folder / "good.pt")
        plant(folder / name, content(), harm, at)

    return Case("tensors", f"{verb} {kind} {harm}", tuple(words), (name, "--train", "data.", "samples", "images"), make)
