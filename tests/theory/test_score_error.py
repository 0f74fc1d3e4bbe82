"""The power of the least error of the score: curves of which it is known, the study's setting, and draws."""

import numpy as np
import pytest

from diffmem.config.compose import compose_theory
from diffmem.theory.score_error import Best, _power, score_error


def test_a_planted_power_is_found_with_an_interval_that_holds_it() -> None:
    rng = np.random.default_rng(0)
    best = [Best("limit", n, -1, 1.0, 0.3 * n**-0.59 * np.exp(0.02 * rng.standard_normal())) for n in range(4, 33, 4)]
    found = _power(best, "limit")
    assert found is not None
    assert found.low < -0.59 < found.high
    assert found.exponent == pytest.approx(-0.59, abs=0.03)
    assert _power(best[:2], "limit") is None
    assert _power(best, "simulation") is None


def test_the_studys_setting() -> None:
    """The least error in the limit; the study's 0.59 lies in the interval, and the local exponent grows."""
    made = score_error(compose_theory(["psi_p=64", "psi_n_grid=[4,8,16]", "draws=0", "points=80"]))
    least = [one["score_error"] for one in made.facts["best"]]
    assert least == pytest.approx([0.0643, 0.0433, 0.0274], rel=0.01)  # of 200 times from 1 to 3,000
    assert made.facts["powers"]["limit"]["low"] < -0.59 < made.facts["powers"]["limit"]["high"]
    local = [one["exponent"] for one in made.facts["local_exponents"]]
    assert local[0] > local[1]


def test_draws_lie_on_the_limit() -> None:
    words = ["psi_p=4", "psi_n_grid=[2,4,8]", "draws=2", "d=60", "points=40", "features=gaussian"]
    made = score_error(compose_theory(words))
    best = made.facts["best"]
    limit = {one["psi_n"]: one["score_error"] for one in best if one["kind"] == "limit"}
    for one in best:
        assert one["score_error"] == pytest.approx(limit[one["psi_n"]], rel=0.1)
    assert set(made.table["draw"]) == {-1, 0, 1}
