"""An executor that is not installed, or cannot start, costs one sentence and nothing on disk."""

import contextlib
import sys
from pathlib import Path

import pytest

from diffmem.cli.main import main
from diffmem.errors import InputError
from diffmem.executors import here
from diffmem.sweep.grid import plan_grid, run_all
from tests.helpers.tiny import OVERRIDES, tiny


def test_a_missing_extra_is_named_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "diffmem.executors.ray", raising=False)
    assert main(["sweep", *OVERRIDES, "executor=ray", f"out={tmp_path / 'runs'}"]) == 2
    said = capsys.readouterr().err
    assert "executor=ray needs ray, which is not installed: pip install 'diffmem[ray]'." in said
    assert list(tmp_path.iterdir()) == []


def test_an_executor_that_cannot_start_leaves_no_queued_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(config: object) -> None:
        raise InputError("it does not answer")

    plans = plan_grid([tiny(tmp_path / "runs", executor={"name": "here"})])
    monkeypatch.setattr(here, "start", refuse)
    with pytest.raises(InputError, match="it does not answer"):
        run_all(plans, contextlib.nullcontext())
    assert list(tmp_path.iterdir()) == []
