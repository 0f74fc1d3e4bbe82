"""Inputs made by machine: every command ends in time with exit 0, or with one sentence that names what was wrong.

A part of what `make fuzz` tries, a few seconds for each kind.
"""

import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.helpers.fuzz import images, overrides, stored, tables, tensors
from tests.helpers.fuzz.judge import Case, try_case

pytestmark = pytest.mark.slow
PATIENCE = 60.0  # seconds: the first case of a process imports what draws a report
KINDS: dict[str, tuple[Any, int]] = {
    "overrides": (overrides, 20),
    "stored": (stored, 10),
    "tables": (tables, 6),
    "images": (images, 5),
    "tensors": (tensors, 8),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_end_is_clear(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    module, count = KINDS[kind]

    @settings(
        max_examples=count, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(module.cases())
    def ends_clearly(case: Case) -> None:
        verdict = try_case(case, tmp_path_factory.mktemp("case") / "case", PATIENCE)
        assert verdict.outcome == "clear", (case, verdict)

    ends_clearly()


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("print('diffmem: data.n=0 is out of range.', file=sys.stderr); return 2", "clear"),
        ("print('diffmem: something failed.', file=sys.stderr); return 2", "unclear"),
        ("print('diffmem: data.n: KeyError (add --debug to see where).', file=sys.stderr); return 1", "unclear"),
        ("return 2", "unclear"),
        ("return 130", "unclear"),
        ("raise KeyError('data.n')", "traceback"),
        ("print('Traceback (most recent call last)', file=sys.stderr); return 1", "traceback"),
        ("os.mkfifo('pipe'); open('pipe'); return 0", "hang"),
        ("while True: pass", "hang"),
        ("open('out', 'w'); return 0", "clear"),
        ("open('out', 'w'); print('diffmem: data.n', file=sys.stderr); return 2", "harm"),
        ("open('../outside/thesis.txt', 'w'); return 0", "harm"),
        ("os.system('true'); return 0", "harm"),
        ("socket.socket().connect_ex(('127.0.0.1', 1)); return 0", "harm"),
    ],
)
def test_the_judge_sees_what_it_is_there_for(
    said: str, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space: dict[str, Any] = {"os": os, "socket": socket, "sys": sys}
    exec(f"def main(words):\n    {said}", space)
    monkeypatch.setattr("diffmem.cli.main.main", space["main"])
    case = Case("overrides", "planted", ("train",), ("data.n",))
    assert try_case(case, tmp_path / "case", 1.0).outcome == outcome
