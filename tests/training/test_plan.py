"""What a plan says before anything is written: all complaints at once, and what a small set goes without."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffmem.config.settings import Config
from diffmem.errors import InputError, all_at_once
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers.image_files import random_images, write_folder
from tests.helpers.tiny import tiny


def folder_config(tmp_path: Path, count: int, n: int, size: int = 16, **settings: Any) -> Config:
    root = write_folder(tmp_path / "photos", random_images(count, size, size))
    data = {"name": "image_folder", "root": str(root), "n": n, "size": size, "channels": 1, "scale": "auto"}
    return tiny(tmp_path / "runs", data=data, **settings)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path / "cache"))


def test_a_small_folder_is_measured_with_what_it_has(tmp_path: Path) -> None:
    config = folder_config(tmp_path, 20, 8, eval={"test_images": 500, "samples": 16}, train={"steps": 2})
    (tmp_path / "photos" / "notes.txt").write_text("")
    planned = plan(config)
    assert [note.partition(":")[0] for note in planned.notes] == [
        f"1 file of {tmp_path / 'photos'} is not read",
        "image_folder has 20 images",
        "losses are measured on all 10 held-out images, fewer than eval.test_images=500",
        "no Frechet distance",
    ]
    assert "the last 10, half of so few, are held out, and 10 are there to train on" in planned.notes[1]
    execute(planned)
    row = planned.run.primary.read_rows()[-1]
    assert {"mmd_pixels", "mmd_pixels@gaussian", "f_mem", "loss_test_t2"} <= set(row)
    assert not [name for name in row if name.startswith("fd_")]


def test_a_frechet_distance_that_was_asked_for_is_not_left_out(tmp_path: Path) -> None:
    config = folder_config(tmp_path, 20, 8, eval={"test_images": 5, "samples": 128, "quality": "fd_pca64"})
    with pytest.raises(
        InputError, match=r"the test split gives 10 images, and fd_pca64 .* of 64 dimensions needs at least 128"
    ):
        plan(config)


def test_a_large_enough_set_has_nothing_to_be_told() -> None:
    assert plan(tiny()).notes == ()


def test_all_complaints_come_at_once(tmp_path: Path) -> None:
    config = folder_config(tmp_path, 6, 8, eval={"samples": 16})
    with pytest.raises(InputError) as caught:
        plan(config)
    assert "data.n=8 with data.index=0 ends at image 8, and image_folder has 3 images" in str(caught.value)
    assert "eval.samples=16 with 3 held-out images is too few" in str(caught.value)
    assert list(tmp_path.glob("runs")) == []


def test_checks_that_pass_give_what_they_found() -> None:
    def bad() -> int:
        raise InputError("no.")

    assert all_at_once(lambda: 1, lambda: 2) == [1, 2]
    with pytest.raises(InputError, match=r"^no\. no\.$"):
        all_at_once(bad, lambda: 1, bad)


def test_images_of_one_colour_have_no_scale(tmp_path: Path) -> None:
    config = folder_config(tmp_path, 20, 8, eval={"samples": 16})
    write_folder(tmp_path / "photos", np.zeros((20, 16, 16), np.uint8))
    with pytest.raises(InputError, match="one flat colour"):
        plan(config)
