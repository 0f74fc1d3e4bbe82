"""Every figure of the study says what it claims, has a reader, and arms that compose."""

from importlib import resources

import pytest

from diffmem.analysis.studies.registry import READERS
from diffmem.config.compose import compose_grid, groups
from diffmem.config.study import read_study, study_names
from diffmem.errors import InputError


@pytest.mark.slow
@pytest.mark.parametrize("name", study_names())
def test_every_study_composes(name: str) -> None:
    study = read_study(name)
    assert study.reader in READERS
    assert study.claims
    assert all(claim.words for claim in study.claims.values())
    for words in [*study.reduced.values(), *study.full.values()]:
        runs = compose_grid(words)
        assert len({(run.data.n, run.model.width, run.seed, run.data.index) for run in runs}) == len(runs)
    text = (resources.files("diffmem.configs") / "study" / f"{name}.yaml").read_text()
    header = " ".join(line.removeprefix("#") for line in text.splitlines() if line.startswith("#"))
    assert "Claim: " in header
    assert "Expected" in header


def test_a_study_is_no_group_of_options() -> None:
    assert "study" not in groups()


def test_a_figure_that_is_none_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean fig2"):
        read_study("fig22")
    with pytest.raises(InputError, match=r"there are .*fig2"):
        read_study("window")
