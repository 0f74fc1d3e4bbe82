"""A folder that nothing gets out of: links of every kind in the place of files and folders, full disks, torn lines."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from diffmem.errors import InputError
from diffmem.tree import Tree

DOERS: dict[str, Callable[[Tree, Path], object]] = {
    "write": lambda tree, path: tree.write(path, b"new"),
    "append": lambda tree, path: tree.append(path, b"new\n"),
    "remove": lambda tree, path: tree.remove(path),
    "replacing": lambda tree, path: _fill(tree, path),
}


def _fill(tree: Tree, path: Path) -> None:
    with tree.replacing(path) as folder:
        (folder / "file").write_text("new")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder outside, with a hidden file and a folder in it."""
    folder = tmp_path / "victim"
    (folder / ".ssh").mkdir(parents=True)
    for name in ("thesis.txt", ".bashrc", ".ssh/key"):
        (folder / name).write_text("mine")
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", DOERS)
@pytest.mark.parametrize("target", ["thesis.txt", ".ssh", "nothing"])
@pytest.mark.parametrize("link", ["a", "a/b/thesis.txt", "a/.b.1"])
def test_nothing_is_done_through_a_link(tmp_path: Path, victim: Path, name: str, target: str, link: str) -> None:
    """A link in the place of the file, of the folder it lies in, or of the file beside it: the victim stays."""
    before = contents(victim)
    tree, place = Tree(tmp_path / "tree"), tmp_path / "tree" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(victim / target)
    for path in {place, place / "deeper", place.parent / "b" / "new"}:
        with contextlib.suppress(InputError, FileNotFoundError):
            DOERS[name](tree, path)
    assert contents(victim) == before


def test_the_tree_itself_may_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "disk")
    Tree(tmp_path / "runs").write(tmp_path / "runs" / "a" / "b", b"1")
    assert (tmp_path / "disk" / "a" / "b").read_bytes() == b"1"


def test_a_pipe_and_a_second_name_are_refused(tmp_path: Path, victim: Path) -> None:
    tree = Tree(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    os.link(victim / "thesis.txt", tmp_path / "second")
    for name in ("pipe", "second"):
        with pytest.raises(InputError, match=f"{name} is a pipe or a second name"):
            tree.append(tmp_path / name, b"new\n")
    assert (victim / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("torn", ["", "half", "half a row\nand half"])
def test_a_line_is_added_after_the_last_whole_one(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "rows"
    path.write_text("one\n" + torn)
    Tree(tmp_path).append(path, b"two\n")
    assert path.read_text() == "one\n" + "".join(torn.splitlines(True)[:-1]) + "two\n"


@pytest.mark.parametrize("room", [0, 1, 7])
def test_a_line_that_is_written_short_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """A disk that takes `room` bytes and then no more."""
    import io

    from diffmem import tree as module

    class Full(io.FileIO):
        left = room

        def write(self, content: bytes) -> int:  # type: ignore[override]
            if not self.left:
                raise OSError(28, "No space left on device")
            self.left, taken = 0, self.left
            return super().write(content[:taken])

    path = tmp_path / "rows"
    path.write_text("one\n")
    monkeypatch.setattr(module, "FileIO", Full)
    with pytest.raises(OSError, match="No space"):
        Tree(tmp_path).append(path, b"two two two\n")
    assert path.read_text() == "one\n"
