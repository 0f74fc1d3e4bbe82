"""A tracker beside a run is a process of its own: the run ends well and with the same bytes whatever becomes of it."""

import shutil
from pathlib import Path

import pytest

from diffmem.config.tracker import MLflowTracker
from diffmem.trackers.beside import beside
from diffmem.training.plan import plan
from diffmem.training.session import execute
from tests.helpers.tiny import outcome_bytes, tiny
from tests.helpers.tracked import only_run


@pytest.mark.slow
def test_a_dead_server_costs_nothing(grown: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(grown.parent / "young", tmp_path / "runs")  # as `grown` began
    planned = plan(tiny(tmp_path / "runs"))
    with beside(planned.run.path, MLflowTracker(uri="http://127.0.0.1:9", experiment="diffmem")):
        assert execute(planned).exit_code == 0
    assert outcome_bytes(planned.run.path) == outcome_bytes(only_run(grown))
    said = capsys.readouterr().err
    assert said.count("tracker=mlflow does not take what the runs write") == 1
    assert "Traceback" not in said
