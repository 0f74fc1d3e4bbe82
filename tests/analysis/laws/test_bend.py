"""Bent laws: planted ones come back, as an independent fit has them; the test keeps its level; the task decides."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from diffmem.analysis.laws import shapes
from diffmem.analysis.laws.bend import Runs, bent, choose, summary

NS = np.array([16, 32, 64, 128, 256, 512])


def runs(n: np.ndarray, tau: np.ndarray, *, censored: np.ndarray | None = None, together: bool = False) -> Runs:
    x = np.column_stack([np.ones(len(n)), np.log(n)])
    side = np.zeros(len(n), dtype=np.int64) if censored is None else censored
    return Runs(x, np.log(tau), side, {"n": n} if together else {})


@pytest.mark.parametrize("shape", shapes.SHAPES)
def test_gradients_are_the_derivatives(shape: str) -> None:
    x = np.column_stack([np.ones(6), np.log(NS) - 4, np.log([8, 16, 32, 8, 16, 32]) - 3])
    p = np.array([6.0, 1.2, -0.4, 5.0 if shape == "offset" else 0.1])[: 3 if shape == "power law" else 4]
    e = 1e-6 * np.eye(len(p))
    known = [(shapes.value(shape, p + one, x) - shapes.value(shape, p - one, x)) / 2e-6 for one in e]
    np.testing.assert_allclose(shapes.gradient(shape, p, x), np.transpose(known), atol=1e-7)
    ahead, behind = (x + np.array([0, step, 0]) for step in (1e-6, -1e-6))
    exponent, by_p = shapes.exponent(shape, p, x)
    np.testing.assert_allclose(
        exponent, (shapes.value(shape, p, ahead) - shapes.value(shape, p, behind)) / 2e-6, atol=1e-6
    )
    known = [(shapes.exponent(shape, p + one, x)[0] - shapes.exponent(shape, p - one, x)[0]) / 2e-6 for one in e]
    np.testing.assert_allclose(by_p, np.transpose(known), atol=1e-6)


@pytest.mark.parametrize("offset", [100.0, 300.0, 3000.0])
def test_the_offset_laws_fit_is_that_of_an_independent_solver(offset: float) -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(6), np.log(NS) - np.log(NS).mean()])
    y = np.log(offset + 20 * NS) + 0.05 * rng.standard_normal((20, 6))
    _, loss = shapes.fit("offset", x, y, np.ones_like(y))
    for one, found in zip(y, loss, strict=True):

        def residual(p: np.ndarray, one: np.ndarray = one) -> np.ndarray:
            return np.asarray(one - np.logaddexp(p[2], p[0] + p[1] * x[:, 1]))

        least = min(2 * least_squares(residual, [7, 1, at]).cost for at in (2, 4, 6, 8))
        assert found <= 1.01 * least


def test_a_planted_offset_has_its_local_exponents() -> None:
    n = np.repeat(NS, 2)
    seen = summary(runs(n, 300 + 20.0 * n), 99)
    assert seen is not None
    assert (seen["shape"], seen["p_power_law"]) == ("offset", 0.01)
    assert seen["coefficients"]["tau_0"] == pytest.approx(300, rel=1e-3)
    assert seen["coefficients"]["alpha"] == pytest.approx(1, rel=1e-3)
    for end in seen["local"]:
        assert end["exponent"] == pytest.approx(20 * end["n"] / (300 + 20 * end["n"]), rel=1e-3)
    assert summary(runs(NS[:3], 20.0 * NS[:3])) is None


def test_local_exponents_of_noisy_offsets_are_covered() -> None:
    rng = np.random.default_rng(4)
    n = np.repeat(NS, 3)
    hits = []
    for _ in range(100):
        law = summary(runs(n, (300 + 20 * n) * np.exp(0.08 * rng.standard_normal(18))), 0)
        assert law is not None
        if law["shape"] == "offset":
            hits += [[end["low"] <= 20 * end["n"] / (300 + 20 * end["n"]) <= end["high"] for end in law["local"]]]
    assert len(hits) > 40  # the others are fitted as well by a quadratic
    assert (np.abs(np.mean(hits, axis=0) - 0.95) < 4 * np.sqrt(0.95 * 0.05 / len(hits)) + 0.01).all()


@pytest.mark.slow
@pytest.mark.parametrize("together", [False, True])
def test_a_power_law_is_rejected_one_time_in_twenty(together: bool) -> None:
    rng = np.random.default_rng(6)
    n = np.repeat(NS, 3)
    rejected = []
    for draw in range(150):
        shared = 0.3 * rng.standard_normal(6)[np.searchsorted(NS, n)] if together else 0.0
        seen = summary(runs(n, 20 * n * np.exp(shared + 0.1 * rng.standard_normal(18)), together=together), 79, draw)
        assert seen is not None
        rejected.append(seen["p_power_law"] < 0.05)
    assert np.mean(rejected) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 150)


def test_the_shape_is_chosen_by_what_is_left_out() -> None:
    rng = np.random.default_rng(1)
    n = np.repeat(NS, 3)
    straight, offset = 20.0 * n, 600 + 10.0 * n
    noise = np.exp(0.03 * rng.standard_normal(18))
    assert choose(runs(n, straight * noise, together=True), "beyond") == "power law"
    assert choose(runs(n, offset * noise, together=True), "inside") == "offset"
    assert choose(runs(n[:12], offset[:12], together=True), "inside") == "power law"  # four n are too few to choose


def test_a_censored_run_lifts_a_bent_law() -> None:
    n = np.repeat(NS, 2)
    tau = 300 + 20.0 * n
    late = np.where(n == 512, 1, 0)
    kept = bent(runs(n, np.where(late, 2 * tau, tau), censored=late), "offset")
    dropped = bent(runs(n[n < 512], tau[n < 512]), "offset")
    at = np.array([[1.0, np.log(512)]])
    ends = [
        float(shapes.value("offset", law.p, at - np.append(0, np.log(ns).mean()))[0])
        for law, ns in ((kept, n), (dropped, n[n < 512]))
    ]
    assert ends[0] > ends[1]


def test_draws_that_are_wide_apart_do_not_overflow() -> None:
    """As where widths err by so much that a shared draw is e^1000."""
    x = np.column_stack([np.ones(6), np.linspace(0, 3, 6)])
    y = np.array([[0.0, 1, 2, 3, 4, 1000]])
    p, loss = shapes.fit("offset", x, y, np.ones_like(y))
    assert np.isfinite(p).all()
    assert np.isfinite(loss).all()
