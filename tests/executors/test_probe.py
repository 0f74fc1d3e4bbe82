"""A folder that a machine does not see, or cannot write, is found by asking, and nothing is left behind."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from diffmem.errors import InputError
from diffmem.executors import probe


def test_a_machine_that_shares_the_folder_has_no_trouble_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with probe.question(tmp_path / "out") as question:
        assert question.path.parent == tmp_path / "out"
        assert question.trouble() is None
        assert list((tmp_path / "out").iterdir()) == [question.path]
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_is_not_there_yet_is_asked_for_above_it_and_not_made(tmp_path: Path) -> None:
    with probe.question(tmp_path / "runs" / "digits") as question:
        assert question.path.parent == tmp_path
        assert question.trouble() is None
    assert list(tmp_path.iterdir()) == []


def test_a_machine_that_does_not_see_the_folder(tmp_path: Path) -> None:
    with probe.question(tmp_path) as question:
        question.path.rename(tmp_path / "elsewhere")
        assert question.trouble() == f"does not see what was written in {tmp_path} (No such file or directory)"


def test_a_machine_that_has_another_folder_in_its_place(tmp_path: Path) -> None:
    with probe.question(tmp_path) as question:
        question.path.write_text("what another sweep left here")
        assert question.trouble() == f"has another folder in the place of {tmp_path}"


@contextlib.contextmanager
def no_room() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_machine_without_room_there(tmp_path: Path) -> None:
    with probe.question(tmp_path) as question:
        with no_room():
            found = question.trouble()
        assert found == f"cannot write in {tmp_path} (File too large)"
        assert list(tmp_path.iterdir()) == [question.path]


def test_the_sweeps_own_machine_without_room_there(tmp_path: Path) -> None:
    refused = pytest.raises(InputError, match=r"cannot be written \(File too large\): make room")
    with no_room(), refused, probe.question(tmp_path):
        raise AssertionError("it was asked")
    assert list(tmp_path.iterdir()) == []


def test_one_sentence_for_all_that_are_kept_from_it() -> None:
    probe.check(Path("runs"), {"node 1": None, "node 2": None})
    with pytest.raises(InputError, match=r"^out=runs: node 2 does not see it \(and 1 more of 3 kept from it\)\. "):
        probe.check(Path("runs"), {"node 1": None, "node 2": "does not see it", "node 3": "cannot write"})
