"""The public face is typed: what a checker sees is what there is, also across the wall to the analysis."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import diffmem

ROOT = Path(__file__).resolve().parents[1]

USER = """\
import diffmem
from diffmem.analysis import pipeline

run: diffmem.Run = diffmem.load_runs("runs/fam")[0]
steps: list[int] = diffmem.load_run("x").steps
sentence: str = pipeline.fit("runs/fam").sentence
diffmem.load_run(3).nonsense
diffmem.load_run("x").metrics(1, 2)
diffmem.load_rnu("x")
diffmem.MemorizationMonitor(nonsense=1)
pipeline.fit(3, 4, 5, 6, nonsense=1)
diffmem.load_runs("x", m=3)
diffmem.fit("x").draw(3)
"""
WRONG = {
    7: ["incompatible type", 'no attribute "nonsense"'],
    8: ["Too many arguments"],
    9: ['no attribute "load_rnu"'],
    10: ['Unexpected keyword argument "nonsense"'],
    11: ['Unexpected keyword argument "nonsense"'],
    12: ['Unexpected keyword argument "m"'],
    13: ["incompatible type"],
}


@pytest.mark.slow
def test_a_checker_sees_the_public_face(tmp_path: Path) -> None:
    messages = checked(USER, tmp_path)
    assert set(messages) == set(WRONG)
    for line, words in WRONG.items():
        assert all(some in messages[line] for some in words), messages[line]


def checked(code: str, folder: Path) -> dict[int, str]:
    """What mypy reports of a user's `code`: {line: messages}."""
    (folder / "user.py").write_text(code)
    cache = ROOT / ".mypy_cache"  # shared with `make lint`: what is cold takes a minute
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", "--cache-dir", cache, "user.py"],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    *reports, summary = done.stdout.splitlines()
    assert "checked 1 source file" in summary, done.stdout + done.stderr
    messages: dict[int, str] = {}
    for report in reports:
        file, line, words = report.split(":", 2)
        assert file == "user.py", report
        messages[int(line)] = messages.get(int(line), "") + words
    return messages


def test_the_public_face_is_listed() -> None:
    assert dir(diffmem) == sorted(diffmem.__all__)
    assert all(getattr(diffmem, name) for name in diffmem.__all__)
