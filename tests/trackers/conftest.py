"""One tiny run for all tests of trackers."""

from pathlib import Path

import pytest

from tests.helpers.tracked import young_and_grown


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders with the same run at step 6 and at its end; not to be changed."""
    return young_and_grown(tmp_path_factory.mktemp("tracked"))


@pytest.fixture
def young(trained: tuple[Path, Path]) -> Path:
    return trained[0]


@pytest.fixture
def grown(trained: tuple[Path, Path]) -> Path:
    return trained[1]
