"""Theory, random features and networks on one page: planted networks, and what is said of them."""

from functools import cache

import numpy as np
import pytest

from diffmem.config.compose import compose, compose_theory
from diffmem.config.data import DataConfig
from diffmem.config.theory import TheoryConfig
from diffmem.errors import InputError
from diffmem.theory import descent, overlay
from diffmem.theory.chosen import model_of_data
from diffmem.theory.dynamics import Curves, limit_curves
from diffmem.theory.model import Model
from diffmem.theory.timescales import time_grid

PER_STEP = 0.037


def settings() -> TheoryConfig:
    return compose_theory(["data=digits", "data.scale=4", "psi_p=1.5", "t=0.5", "points=40"])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descent.descend, "__defaults__", (60,))


def data(n: int) -> DataConfig:
    return compose(["data=digits", "data.scale=4", f"data.n={n}", "model=unet_tiny"]).data


@cache
def limit_of(n: int) -> Curves:
    config = settings()
    model = model_of_data(config)
    at_n = Model(model.psi_p, n / 64, model.t, cov=(model.mu, model.weight))
    return limit_curves(at_n, time_grid(at_n, config.points))


def network(n: int, *, below: bool = False) -> overlay.Network:
    """One whose losses are the limit's, in steps; `below` lowers those of its second half under L*."""
    limit = limit_of(n)
    test = limit.test.copy()
    if below:
        test[20:] = np.minimum(test[20:], 0.9 * limit.best)
    return overlay.Network(run=f"n{n}", data=data(n), step=limit.tau / PER_STEP, train=limit.train, test=test)


@pytest.mark.filterwarnings("ignore::diffmem.theory.validity.ValidityWarning")
def test_a_network_that_is_the_limit_is_found_to_be() -> None:
    made = overlay.overlay(settings(), [network(96), network(32, below=True)])
    assert made.facts["tau_per_step"] == pytest.approx(PER_STEP, rel=0.01)
    rows = {(row["kind"], row["n"]): row for row in made.facts["curves"]}
    assert max(rows["network", 96][name] for name in ("away_train", "away_test")) < 0.01
    assert rows["network", 96]["below_best_from"] is None
    limit = limit_of(32)
    assert rows["network", 32]["below_best_from"] == pytest.approx(limit.tau[20], rel=0.02)
    assert rows["network", 32]["away_test"] > 0.1
    assert rows["features", 32]["away_train"] > rows["limit", 32]["away_train"] == 0
    assert rows["network", 96]["tau_gen"] == pytest.approx(rows["limit", 96]["tau_gen"], rel=0.02)
    assert rows["network", 96]["tau_mem"] is rows["limit", 96]["tau_mem"] is None
    assert f"below what Gaussian data allow: n = 32 from tau = {limit.tau[20]:.3g}"[:46] in made.sentence
    assert set(made.table["n"]) == {32, 96}


@pytest.mark.filterwarnings("ignore::diffmem.theory.validity.ValidityWarning")
def test_a_network_past_the_theory_from_the_start_is_refused() -> None:
    step = np.array([50.0, 100.0])
    low = overlay.Network(run="late", data=data(32), step=step, train=0.1 * step / step, test=0.1 * step / step)
    with pytest.raises(
        InputError, match=r"late: the test loss is below the .* at the first row after step 0 \(step 50\)"
    ):
        overlay.overlay(settings(), [low])
