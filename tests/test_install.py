"""The clone as `make` installs it: what is imported is the package, wherever Python starts."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from diffmem.config.compose import compose_grid
from diffmem.sweep.grid import plan_grid

ROOT = Path(__file__).resolve().parents[1]
SITE = Path(pytest.__file__).parents[1]  # setuptools, which builds, and what the package imports


def run(*words: object, cwd: Path, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env={**clean, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_python_in_the_folder_above_finds_the_package(tmp_path: Path) -> None:
    """There the clone itself has the package's name, and without a package on the path it would be imported, empty."""
    clone = tmp_path / "diffmem"
    clone.mkdir()
    for name in ("diffmem", "analysis", "configs"):
        (clone / name).symlink_to(ROOT / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (clone / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    mode = re.search(r"--config-settings (\S+) --editable", (ROOT / "Makefile").read_text())
    assert mode is not None
    words = ("--no-build-isolation", "--no-deps", "--config-settings", mode[1], "--editable", clone)
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", *words)
    run(*pip, cwd=tmp_path, PYTHONPATH=str(SITE))
    code = "import diffmem; print(diffmem.__file__, callable(diffmem.load_run))"
    said = run(python, "-c", code, cwd=tmp_path, PYTHONPATH=str(SITE))
    assert said.split() == [str(clone / "diffmem" / "__init__.py"), "True"]
    assert "diffmem 0." in run(tmp_path / "venv" / "bin" / "diffmem", "--version", cwd=tmp_path, PYTHONPATH=str(SITE))


def test_the_readme_says_how_to_have_the_command() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "source .venv/bin/activate" in readme
    assert "make shell" in readme
    assert readme.index("source .venv/bin/activate") < readme.index("\n    diffmem ")


def test_the_runs_that_the_readme_names_are_those_of_the_quickstart() -> None:
    named = set(re.findall(r"runs/quickstart/(digits-[a-z0-9-]+)", (ROOT / "README.md").read_text()))
    assert len(named) == 3
    assert named <= {planned.run.name for planned in plan_grid(compose_grid(["experiment=quickstart"]))}


@pytest.mark.slow
def test_make_shell_has_the_command(tmp_path: Path) -> None:
    """With an environment that is installed, and a shell that says what `diffmem` is."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock", "Makefile"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".venv" / "installed").write_text("")
    command = tmp_path / ".venv" / "bin" / "diffmem"
    command.write_text("#!/bin/sh\necho found\n")
    command.chmod(0o755)
    shell = tmp_path / "shell"
    shell.write_text("#!/bin/sh\ndiffmem\necho $VIRTUAL_ENV\n")
    shell.chmod(0o755)
    said = run("make", "-s", "shell", cwd=tmp_path, SHELL=str(shell))
    assert said.split() == ["found", str(tmp_path / ".venv")]
