"""Two runs at equal quality: whoever is only slower differs in nothing, whoever pays less differs by what is known."""

import numpy as np
import pytest

from diffmem.analysis.laws.matched import Course, matched

STEP = np.geomspace(50, 20_000, 40)


def course(speed: float = 1.0, price: float = 1.0, best: float = 1.0, margin: float = 0.0) -> Course:
    """Quality falls to `best` as 1/τ and cost rises in log τ, `price` times as steeply, both `speed` times as fast."""
    tau = STEP * speed
    return Course(STEP, best + 100 / tau, price * np.log(tau), margin)


@pytest.mark.parametrize("speed", [0.2, 0.7, 1.0, 4.0])
def test_a_slower_run_pays_the_same_for_the_same_quality(speed: float) -> None:
    found = matched(course(speed), course())
    assert found.difference == pytest.approx(0, abs=0.02)
    assert found.times[1] / found.times[0] == pytest.approx(speed, rel=0.05)
    assert found.quality == pytest.approx(1 + 100 / (20_000 * min(speed, 1)), rel=1e-6)


def test_what_is_paid_at_equal_quality_is_found_where_the_worse_of_them_ends() -> None:
    found = matched(course(price=1.5, best=1.2), course())
    time = 100 / (0.2 + 100 / 20_000)  # when the control comes to what the other ends with
    assert found.quality == pytest.approx(1.205)
    assert found.times == pytest.approx((20_000, time), rel=0.01)
    assert found.difference == pytest.approx(1.5 * np.log(20_000) - np.log(time), abs=0.02)
    assert matched(course(), course(price=1.5, best=1.2)).difference == pytest.approx(-found.difference)


def test_a_margin_reads_both_before_quality_stands_still() -> None:
    found = matched(course(margin=0.1, price=2.0), course(margin=0.05))
    assert found.quality == pytest.approx(1.105)
    assert found.times == pytest.approx((100 / 0.105, 100 / 0.105), rel=1e-2)
    assert found.difference == pytest.approx(np.log(100 / 0.105), abs=0.05)


def test_a_run_that_begins_at_the_quality_is_read_at_its_first_step() -> None:
    flat = Course(STEP, np.ones(40), np.arange(40.0), 0.0)
    assert matched(flat, flat).times == (50, 50)
