"""The table of real runs kept in docs/data: what the README says of it is what comes out of it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from diffmem.analysis import pipeline
from diffmem.analysis.laws.advice import advise, cut
from diffmem.analysis.laws.collapse import family_collapse
from diffmem.analysis.laws.prediction import leave_one_n_out, typical_factor
from diffmem.analysis.pipeline import Fitted
from diffmem.analysis.tables.family import read_table
from diffmem.analysis.times.family import family_times
from diffmem.errors import InputError

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "data" / "digits_law.csv"
README = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return pipeline.fit(TABLE)


def test_the_laws_are_those_of_the_readme(fitted: Fitted) -> None:
    assert len(fitted.times) == 14
    assert set(fitted.times["tau_mem_status"]) == {"reached"}
    assert fitted.sentence in README
    mem, gen, bias = (fitted.laws[name] for name in ("tau_mem", "tau_gen", "tau_bias"))
    assert gen["low"] <= 0 <= gen["high"]
    assert bias["low"] > 0
    assert mem["low"] > 0
    assert f"n^{mem['alpha']:.2f} [{mem['low']:.2f}, {mem['high']:.2f}] on average" in README


def test_the_window_opens_with_n(fitted: Fitted) -> None:
    names = ["tau_gen", "tau_bias", "fmem_onset", "tau_mem"]
    gen, bias, onset, mem = fitted.times.groupby("n")[names].mean().to_numpy(float).T  # by n = 32, ..., 256
    assert np.isnan(gen[:3]).all()  # copies of so few images score worse than the level
    assert bias[-1] > 1.5 * gen[-1]
    assert (bias < onset).all()
    assert (onset < mem).all()


def test_a_level_that_a_trivial_generator_beats_is_refused() -> None:
    with pytest.raises(InputError, match="independent"):
        pipeline.fit(TABLE, pipeline.Choices(level=20.0))
    with pytest.raises(InputError, match="gaussian"):
        pipeline.fit(TABLE, pipeline.Choices(quality="fd_pixels", level=5.63))


def test_the_collapse_agrees_with_the_law(fitted: Fitted) -> None:
    fit = family_collapse(fitted.family)
    assert fit["low"] <= fitted.laws["tau_mem"]["alpha"] <= fit["high"]
    assert fit["alpha"] == pytest.approx(fitted.laws["tau_mem"]["alpha"], abs=0.05)


def test_advice_predicts_no_quality_for_a_run_of_too_few_images() -> None:
    run = "digits-n32-w16-s0-763b7594"
    family = cut(read_table(TABLE), run, 50)
    advice = advise(family, family_times(family), run)
    assert set(advice.predictions) == {"tau_bias", "tau_mem"}
    assert any("tau_gen never comes" in line for line in advice.sentences)


def test_the_bookends_are_those_of_the_readme() -> None:
    table = pd.read_csv(TABLE.with_name("bookends_digits.csv"))
    shown = table[table["M"] == 200].set_index("generator")["mmd_pixels"]
    (said,) = re.findall(r"\| 8x8 digits \|([^\n]*)", (ROOT / "README.md").read_text())
    names = ["real", "independent", "gaussian", "average", "mean_image", *(f"copies of {n}" for n in (16, 64, 256))]
    for name, number in zip(names, re.findall(r"[\d.]+", said), strict=True):
        assert round(shown[name], len(number.partition(".")[2])) == float(number)


def test_predictions_are_as_good_as_the_readme_says(fitted: Fitted) -> None:
    said = re.search(
        r"all runs of (\d) of (\d) values of n inside their 95% interval, off by a factor of (\d\.\d)", README
    )
    assert said
    scores = leave_one_n_out(fitted.times, "tau_bias")
    inside = scores.groupby("n")["covered"].all()
    assert (int(said[1]), int(said[2])) == (inside.sum(), len(inside))
    assert float(said[3]) == pytest.approx(typical_factor(scores), abs=0.05)
