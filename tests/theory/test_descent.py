"""Random features on given points: gradient descent against the exact flow, and the losses of a network by hand."""

import math

import numpy as np
import pytest

from diffmem.theory import descent
from diffmem.theory.descent import on_points
from diffmem.theory.dynamics import finite_curves
from diffmem.theory.model import Model

D, P, N = 12, 30, 20
MODEL = Model(psi_p=P / D, psi_n=N / D, t=0.3)


@pytest.fixture(scope="module")
def points() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training and test points that are not Gaussian, and directions."""
    rng = np.random.default_rng(0)
    train, test = (rng.choice([-1.3, 0.2, 1.1], (count, D)) for count in (N, 200))
    return train, test, rng.standard_normal((P, D)) / math.sqrt(D)


def test_descent_goes_the_way_of_the_flow(
    points: tuple[np.ndarray, np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apart by an amount of the order of the step."""
    train, test, w = points
    matrices = on_points(MODEL, train, test, w)
    apart = []
    for share, steps in ((0.5, 100), (0.25, 200), (0.125, 400)):
        monkeypatch.setattr(descent, "STEADY", share)
        found = descent.descend(matrices, steps)
        flow = finite_curves(matrices, found.tau)
        apart.append([np.abs(getattr(found, name) - getattr(flow, name))[-1] for name in ("train", "test")])
        assert flow.train.min() < 0.7
    ratios = np.divide(apart[:-1], apart[1:])
    assert ratios == pytest.approx(2, rel=0.15)


def test_the_losses_are_those_of_the_network(points: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """1 + (2/d) Tr B V + (1/d) Tr B U B' against many draws of noise, for weights that nothing chose."""
    train, test, w = points
    matrices = on_points(MODEL, train, test, w)
    rng = np.random.default_rng(1)
    b = 0.1 * rng.standard_normal((D, P))
    for data, u, v in ((train, matrices.u, matrices.v), (test, matrices.u_test, matrices.v_test)):
        x = np.repeat(data, 40_000 // len(data), axis=0)
        xi = rng.standard_normal(x.shape)
        z = np.tanh((math.exp(-MODEL.t) * x + math.sqrt(MODEL.constants.delta_t) * xi) @ w.T)
        each = np.square(z @ b.T + xi).mean(axis=1)
        loss = 1 + 2 / D * np.trace(b @ v) + np.trace(b @ u @ b.T) / D
        assert abs(loss - each.mean()) < 4 * each.std() / math.sqrt(len(each)) + 2e-3  # the Hermite sum ends
