"""The pictures of a report are those of the images a run was trained on, or there are none and it says so."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

import diffmem
from diffmem.cli.main import main
from diffmem.data import _load
from diffmem.errors import InputError
from diffmem.pictures import Pictures
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers.image_files import random_images, write_folder
from tests.helpers.tiny import tiny

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> diffmem.Run:
    """A run on a folder of 300 images, and this machine's own copy of them in a cache."""
    monkeypatch.setenv("DIFFMEM_CACHE", str(tmp_path / "cache"))
    images = write_folder(tmp_path / "images", random_images(300, 8, 8))
    planned = plan(tiny(tmp_path / "runs", data={"name": "image_folder", "root": str(images)}, train={"steps": 2}))
    execute(planned)
    return diffmem.load_run(planned.run.path)


def forget(tmp_path: Path) -> None:
    """This machine no longer has a copy of the images, nor does this process."""
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    _load.cache_clear()


def report(run: diffmem.Run, *more: str) -> str:
    folder = run.path.parent
    assert main(["report", str(folder), *more]) == 0
    return (folder / "report.html").read_text()


def pictures_of(page: str) -> list[str]:
    return re.findall(r"data:image/[a-z]+;base64,[^\"')]+", page)


def test_a_changed_folder_shows_the_images_of_the_training_or_none(
    run: diffmem.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, root = run.train_images(), tmp_path / "images"
    before = pictures_of(report(run))
    assert len(before) > 0
    Image.fromarray(random_images(1, 8, 8, seed=1)[0]).save(root / "-1.png")  # the first: all others move on
    _load.cache_clear()
    assert pictures_of(report(run)) == before  # this machine's own copy
    assert torch.equal(diffmem.load_run(run.path).train_images(), images)
    forget(tmp_path)
    with pytest.raises(InputError, match=r"its checksum differs\): put the data back"):
        diffmem.load_run(run.path).train_images()
    for more, words in (([], "name that folder with --data"), (["--data", str(root)], "checksum differs")):
        forget(tmp_path)
        capsys.readouterr()
        assert pictures_of(report(run, *more)) == []
        assert words in capsys.readouterr().err
    (root / "-1.png").unlink()
    forget(tmp_path)
    assert pictures_of(report(run, "--data", str(root))) == before


def test_a_run_moved_without_its_data_is_reported_without_pictures(
    run: diffmem.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forget(tmp_path)
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    page = report(run)
    assert pictures_of(page) == []
    assert "no pictures: its training images lie where its config says" in page
    assert main(["figures", str(run.path.parent)]) == 0
    assert "no pictures" in capsys.readouterr().err
    assert pictures_of(report(run, "--data", str(tmp_path / "elsewhere"))) != []


def test_a_folder_that_only_a_run_names_is_not_opened(
    run: diffmem.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(tmp_path)
    opened: list[Path] = []
    monkeypatch.setattr("diffmem.data.decode.list_images", opened.append)
    pictures = Pictures()
    assert pictures.film(run.path) is None
    assert pictures.sheet(run.path, 2) is None
    assert opened == []
    assert len(pictures.notes) == 1
