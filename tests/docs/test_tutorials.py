"""The tutorials run as they stand, and the pictures of the definitions come from the tables."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.make import pictures

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.mark.long
@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "tutorials").glob("*.md")), ids=lambda path: path.stem)
def test_a_tutorial_runs(path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    told = [sys.executable, "-m", "docs.make.blocks", str(path)]
    done = subprocess.run(told, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_definitions_show_pictures_of_the_tables(tmp_path: Path) -> None:
    made = {path.name for path in pictures.main(tmp_path)}
    shown = re.findall(r"\(assets/definitions/(\S+)\)", (ROOT / "docs" / "definitions.md").read_text())
    assert sorted(shown) == sorted(made)
    assert made == {path.name for path in (ROOT / "docs" / "assets" / "definitions").iterdir()}
