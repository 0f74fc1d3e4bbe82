"""What is read back from a run directory: what was written passes, anything else is refused by file, line and key."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from diffmem import files, stored
from diffmem.errors import InputError

ALIASES = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.mark.parametrize(
    "text",
    [
        ALIASES,
        "a: &a\n  b: *a\n",
        "1: 2\n",
        "data: {1: 2}\n",
        "[" * 5000,
        "- a\n",
        "3",
        "",
        "a: 2020-99-99\n",
        "\x00",
        "a: 2020-01-01\n",
        "a: [[1]]\n",
    ],
)
def test_settings_that_are_none(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(InputError, match="file"):
        stored.settings(file)


def test_settings_come_back(file: Path) -> None:
    file.write_text("data: {name: digits, root: null}\nseed: 3\neval: {t: [1, 2], k: 0.5}\n")
    assert stored.settings(file) == {
        "data": {"name": "digits", "root": None},
        "seed": 3,
        "eval": {"t": [1, 2], "k": 0.5},
    }


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[]", "the whole"),
        ('{"format": "1"}', "format"),
        ('{"format": true}', "format"),
        ('{"data": []}', "data"),
        ('{"data": {"sha256": 5}}', "data.sha256"),
        ('{"segments": {}}', "segments"),
        ('{"segments": [1]}', "segments"),
        ("{", "JSON"),
        ('{"format": NaN}', "JSON"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_a_meta_that_is_none(file: Path, text: str, key: str) -> None:
    file.write_text(text)
    with pytest.raises(InputError, match=key):
        stored.meta(file)


def test_a_status_keeps_what_is_as_it_was_written(file: Path) -> None:
    assert stored.status(file) == {}
    for text in ("[]", "{", "3", "null", '{"step": NaN}'):
        file.write_text(text)
        assert stored.status(file) == {}
    file.write_text('{"status": 3, "step": "many", "steps": 1e999, "loss": null, "f_mem": 0.5, "phase": "training"}')
    assert stored.status(file) == {"loss": None, "f_mem": 0.5, "phase": "training"}


@pytest.mark.parametrize(
    "points", [5, [1], [{"step": 1, "file": "x"}], [{"step": 1.5, "file": "x", "sha256": "0"}], {"step": 1}]
)
def test_resume_points_that_are_none(file: Path, points: Any) -> None:
    file.write_text(json.dumps(points))
    with pytest.raises(InputError, match="no list of resume points"):
        stored.points(file)


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ('{"step": 4, "f_mem": Infinity}', "Infinity"),
        ('{"step": 4, "f_mem": 1e999}', "f_mem is no finite number"),
        ('{"step": 4, "f_mem": [0.5]}', "f_mem"),
        ('{"step": 4, "f_mem": "0.5"}', "f_mem"),
        ('{"step": 4, "f_mem_count": 1' + "0" * 30 + "}", "f_mem_count"),
        ('{"step": 4, "f_mem": true}', "f_mem"),
        ('{"step": 2, "f_mem": 0.5}', "step 2 stands on an earlier line"),
        ('{"step": 4.5}', "whole number"),
        ('{"step": true}', "whole number"),
        ('{"step": -1}', "whole number"),
        ('{"f_mem": 0.5}', "whole number"),
        ("[1]", "whole number"),
        ("[" * 100_000, "recursion"),
        ("9" * 5000, "digits"),
        ("", "Expecting"),
    ],
)
def test_a_row_that_is_none_is_named_by_line_and_key(file: Path, row: str, key: str) -> None:
    file.write_text('{"step": 0, "f_mem": 0.0}\n{"step": 2, "f_mem": null}\n' + row + "\n")
    with pytest.raises(InputError, match=f"file, line 3, .*{key}"):
        stored.rows(file)
    file.write_text('{"step": 0, "f_mem": 0.0}\n{"step": 2, "f_mem": null}\n')
    assert stored.rows(file) == ([{"step": 0, "f_mem": 0.0}, {"step": 2, "f_mem": None}], False)


def arrays(**changed: Any) -> dict[str, np.ndarray]:
    whole = {
        **{name: np.array([0.5, 1.0, 2.0]) for name in ("d1", "d2")},
        **{name: np.array([0, 1, 2]) for name in ("i1", "i2")},
        "images": np.zeros((2, 1, 4, 4), np.float32),
    }
    return {name: value for name, value in {**whole, **changed}.items() if value is not None}


def test_samples_come_back(file: Path) -> None:
    save_file(arrays(), file)
    sizes = {name: len(values) for name, values in stored.samples(file, ()).items()}
    assert sizes == {"d1": 3, "d2": 3, "i1": 3, "i2": 3, "images": 2}
    sizes = {name: len(values) for name, values in stored.samples(file, ("d1", "images"), 2).items()}
    assert sizes == {"d1": 2, "images": 2}


@pytest.mark.parametrize(
    "changed",
    [
        {"d1": None},
        {"images": None},
        {"d1": np.array([0.5, np.nan, 2.0])},
        {"d1": np.array([0.5, -1.0, 2.0])},
        {"d2": np.array([0.5, 1.0])},
        {"i1": np.array([0, -1, 2])},
        {"i1": np.array([0.0, 1.0, 2.0])},
        {"i2": np.array([[0, 1, 2]])},
    ],
)
def test_samples_that_are_none(file: Path, changed: dict[str, Any]) -> None:
    save_file(arrays(**changed), file)
    with pytest.raises(InputError, match="file is damaged"):
        stored.samples(file, ())


def test_only_files_of_bounded_size_are_opened(file: Path) -> None:
    os.mkfifo(file)
    for reader in (stored.settings, stored.meta, stored.points, stored.rows, lambda path: stored.samples(path, ())):
        with pytest.raises(InputError, match="no regular file"):
            reader(file)
    assert stored.status(file) == {}
    file.unlink()
    with file.open("wb") as sparse:
        sparse.truncate(files.LIMIT + 1)
    for reader in (stored.settings, stored.meta, stored.points, stored.rows):
        with pytest.raises(InputError, match=f"has {files.LIMIT + 1} bytes, and what belongs there has"):
            reader(file)
