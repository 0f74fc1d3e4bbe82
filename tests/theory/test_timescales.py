"""τ_gen and τ_mem of the theory: how they grow with ψ_n, where the simple law bends, and how curves give them."""

import math

import numpy as np
import pytest

from diffmem.errors import InputError
from diffmem.theory.dynamics import Curves, limit_curves
from diffmem.theory.model import Model
from diffmem.theory.spectrum import bands, bulk1_limit
from diffmem.theory.timescales import edge_times, loss_times, time_grid

PSI_N = 2.0 ** np.arange(3, 8)


def times(t: float) -> np.ndarray:
    """(τ_gen, τ_mem) from the edges at ψ_p = 4 ψ_n, over PSI_N: [5, 2]."""
    return np.array([edge_times(Model(psi_p=4 * n, psi_n=n, t=t)) for n in PSI_N], dtype=float)


@pytest.mark.parametrize(("t", "slope"), [(0.01, 1.02), (0.1, 1.018)])
def test_tau_mem_grows_like_n(t: float, slope: float) -> None:
    fitted = np.polyfit(np.log(PSI_N), np.log(times(t)[:, 1]), 1)[0]
    assert fitted == pytest.approx(1, abs=0.03)
    assert fitted == pytest.approx(slope, abs=0.005)


def test_the_ratio_comes_down_to_slope_1_slowly() -> None:
    gen, mem = np.log2(times(0.01)).T
    slopes = np.diff(mem - gen)
    assert (np.diff(slopes) < 0).all()
    assert slopes[-1] == pytest.approx(1.13, abs=0.005)
    assert slopes[0] > 1.4


def test_at_fixed_psi_p_the_law_bends_as_the_closed_form_does() -> None:
    t, psi_p, psi_n = 0.01, 64.0, 2.0 ** np.arange(2, 11)
    delta_t = -math.expm1(-2 * t)
    models = [Model(psi_p, n, t) for n in psi_n]
    edge = np.array([edge_times(model).mem for model in models], dtype=float)
    closed = np.array([psi_p / (delta_t * bulk1_limit(model)[0]) for model in models])
    assert edge == pytest.approx(closed, rel=0.07)
    slopes = np.diff(np.log2(edge))
    assert slopes[0] > 1.4  # n < p: the edge falls faster than 1/n, towards s0²
    assert psi_n[np.argmax(edge)] == psi_p  # and rises again beyond n = p
    assert (slopes[5:] < 0).all()


def test_times_are_those_of_the_bands() -> None:
    model = Model(psi_p=32, psi_n=8, t=0.01)
    _, bulk1, bulk2 = bands(model).bands
    delta_t = -math.expm1(-0.02)
    expected = (32 / (delta_t * bulk2.low), 32 / (delta_t * bulk1.low))
    assert edge_times(model) == pytest.approx(expected, rel=1e-12)


def test_merged_bands_have_no_times() -> None:
    merged = edge_times(Model(psi_p=3, psi_n=2.5, t=0.1))
    assert merged.mem is None
    assert merged.gen is not None
    assert edge_times(Model(psi_p=0.5, psi_n=3, t=0.1)).mem is None
    assert edge_times(Model(psi_p=8, psi_n=0.5, t=0.1)) == (None, None)  # bulk 2 holds the points alone


def drawn(tau: np.ndarray, train: np.ndarray, test: np.ndarray) -> Curves:
    return Curves(tau=tau, train=train, test=test, best=0.0, delta_t=0.1)


def test_loss_times_are_the_crossings_of_their_levels() -> None:
    tau = np.geomspace(0.01, 100, 2001)
    test = np.where(tau < 1, 1 - 0.5 * tau, 0.5)  # best 0.5, so tau_gen is where it comes to 0.55
    gen = 0.02 * tau  # and tau_mem where it comes to 0.05
    assert loss_times(drawn(tau, test - gen, test)) == pytest.approx((0.9, 2.5), rel=1e-3)


def test_loss_times_that_the_curves_do_not_hold() -> None:
    tau = np.geomspace(0.1, 1, 50)
    test = 1 - 0.5 * tau
    assert loss_times(drawn(tau, test, test)).mem is None
    with pytest.raises(InputError, match="begin earlier"):
        loss_times(drawn(tau, test - 0.2, test))


def test_the_grid_holds_both_times() -> None:
    for psi_n in (2.0, 32.0):
        model = Model(psi_p=8, psi_n=psi_n, t=0.05)
        gen, mem = loss_times(limit_curves(model, time_grid(model, 80)))
        assert gen is not None
        assert mem is not None
        assert mem > gen * 0.5
