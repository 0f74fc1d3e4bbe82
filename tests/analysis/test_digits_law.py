"""The table of real runs kept in docs/data: what the README says of it is what comes out of it."""

import re
from pathlib import Path

import pytest

from diffmem.analysis import pipeline
from diffmem.analysis.laws.collapse import family_collapse
from diffmem.analysis.laws.prediction import leave_one_n_out, typical_factor
from diffmem.analysis.pipeline import Fitted

ROOT = Path(__file__).parents[2]
README = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return pipeline.fit(ROOT / "docs" / "data" / "digits_law.csv")


def test_the_laws_are_those_of_the_readme(fitted: Fitted) -> None:
    assert len(fitted.times) == 15
    assert set(fitted.times["tau_mem_status"]) == {"reached"}
    assert fitted.sentence in README
    mem, gen = fitted.laws["tau_mem"], fitted.laws["tau_gen"]
    assert mem["low"] <= 1 <= mem["high"]
    assert mem["high"] - mem["low"] < 0.4
    assert gen["low"] <= 0 <= gen["high"]


def test_the_collapse_agrees_with_the_law(fitted: Fitted) -> None:
    fit = family_collapse(fitted.family)
    assert fit["low"] <= fitted.laws["tau_mem"]["alpha"] <= fit["high"]
    assert fit["alpha"] == pytest.approx(fitted.laws["tau_mem"]["alpha"], abs=0.05)


def test_predictions_are_as_good_as_the_readme_says(fitted: Fitted) -> None:
    scores = leave_one_n_out(fitted.times)
    said = re.search(r"(\d+) of (\d+) times inside their 95% interval, off by a factor of (\d\.\d)", README)
    assert said
    assert (int(said[1]), int(said[2])) == (scores["covered"].sum(), len(scores))
    assert float(said[3]) == pytest.approx(typical_factor(scores), abs=0.05)
