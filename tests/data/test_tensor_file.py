"""Tensors that others saved: what is no tensor, or stands for more than its file holds, is refused in our own words."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from diffmem.data.tensor_file import load_pickle, load_tensor
from diffmem.errors import InputError

IMAGES = torch.rand(3, 1, 8, 8)


class Code:
    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


def packed(path: Path) -> None:
    """The same archive, its entries compressed."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def test_whole_tensors_come_back(tmp_path: Path) -> None:
    torch.save(IMAGES, tmp_path / "a.pt")
    torch.save(IMAGES, tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    np.save(tmp_path / "c.npy", IMAGES.numpy())
    save_file({"images": IMAGES, "other": torch.zeros(2)}, tmp_path / "d.safetensors")
    for path in sorted(tmp_path.iterdir()):
        assert torch.equal(load_tensor(path), IMAGES)
    torch.save({"w": IMAGES}, tmp_path / "state.pt")
    assert torch.equal(load_pickle(tmp_path / "state.pt")["w"], IMAGES)  # type: ignore[index]


def test_code_is_named_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content in (pickle.dumps(Code()), _saved(Code())):
        Path("code.pt").write_bytes(content)
        with pytest.raises(InputError, match=r"is refused \(it holds (posix|something else)") as caught:
            load_tensor(Path("code.pt"))
        for hint in ("weights_only", "trust", "safe_globals"):
            assert hint not in str(caught.value)
    np.save("code.npy", np.array([Code()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="something else than tensors") as caught:
        load_tensor(Path("code.npy"))
    assert "allow_pickle" not in str(caught.value)
    assert not Path("ran").exists()


def _saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.zeros(1).expand(10**9, 1, 32, 32), "repeats them"),
        (IMAGES.to_sparse(), "no dense tensor"),
        (torch.empty(10**9, 1, 32, 32, device="meta"), "no dense tensor"),
        ({"images": IMAGES}, "no dense tensor"),
        ([IMAGES], "no dense tensor"),
    ],
    ids=["stride 0", "sparse", "meta", "dict", "list"],
)
def test_what_is_no_tensor_of_its_size(tmp_path: Path, value: Any, words: str) -> None:
    torch.save(value, tmp_path / "images.pt")
    with pytest.raises(InputError, match=words):
        load_tensor(tmp_path / "images.pt")


def test_a_packed_archive_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "images.pt"
    torch.save(torch.zeros(1000, 1, 32, 32), path)
    packed(path)
    with pytest.raises(InputError, match="packed archive"):
        load_tensor(path)


@pytest.mark.parametrize("suffix", [".pt", ".npy", ".safetensors"])
def test_pipes_folders_and_broken_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"images{suffix}"
    os.mkfifo(path)
    with pytest.raises(InputError, match="no regular file"):
        load_tensor(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match="no regular file"):
        load_tensor(path)
    path.rmdir()
    for content in (b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", os.urandom(300)):
        path.write_bytes(content)
        with pytest.raises(InputError, match="images"):
            load_tensor(path)
