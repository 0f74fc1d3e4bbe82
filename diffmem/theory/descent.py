"""A random-features model on given points: the matrices of its losses, and the losses as gradient descent trains it.

s_A(x) = (A/√p) σ(W x/√d) as in `dynamics`; B = sqrt(Δ_t) A/√p [d, p]. With U, V of the points, averaged over noise,

  L(B) = 1 + (2/d) Tr B V + (1/d) Tr B U Bᵀ

Gradient descent goes B <- B - η (2 Δ_t/ψ_p) (B U + Vᵀ) from B = 0, and τ = η (steps). Nothing is assumed of the points
but that they are centred.

Letters: n training points, d dimensions, p features, K recorded steps.
"""

import math
from dataclasses import dataclass

import numpy as np

from diffmem.theory.constants import Array
from diffmem.theory.model import Model
from diffmem.theory.simulate import Draw, averaged

STEADY = 0.5  # by which share of its way the fastest mode goes in one step
STEPS = 2000  # of gradient descent
RECORDED = 40  # of them, log-spaced, whose losses are given


@dataclass(frozen=True, kw_only=True)
class Descent:
    """Losses [K] at training times tau [K] of one model that was trained."""

    tau: Array
    train: Array
    test: Array


def on_points(model: Model, train: Array, test: Array, w: Array) -> Draw:
    """The matrices of features with the directions `w` [p, d] (of normal entries, over √d) on points [n, d], [N, d].

    The population is the `test` points. `model` gives t, the activation and its mean. There is no true score, so `best`
    is not known (NaN).
    """
    c = model.constants
    length = np.linalg.norm(w, axis=1)
    made = []
    for points in (train, test):
        u, first = averaged(model.activation, c, math.exp(-c.t) * w @ points.T, math.sqrt(c.delta_t) * w)
        made += [u, first[:, None] * w / length[:, None]]
    p, d = w.shape
    return Draw(
        **dict(zip(("u", "v", "u_test", "v_test"), made, strict=True)),
        psi_p=p / d,
        psi_n=len(train) / d,
        delta_t=c.delta_t,
        best=math.nan,
    )


def descend(matrices: Draw, steps: int = STEPS) -> Descent:
    """Gradient descent from A = 0 on the training loss of `matrices`, and the losses along it."""
    rate = 2 * matrices.delta_t / matrices.psi_p
    size = STEADY / (rate * float(np.linalg.eigvalsh(matrices.u)[-1]))  # η: the fastest mode diverges at 2
    b = np.zeros_like(matrices.v.T)
    recorded = set(np.unique(np.geomspace(1, steps, RECORDED).round().astype(int)).tolist())
    tau, losses = [], []
    for step in range(1, steps + 1):
        b -= size * rate * (b @ matrices.u + matrices.v.T)
        if step in recorded:
            tau.append(step * size)
            losses.append((_loss(b, matrices.u, matrices.v), _loss(b, matrices.u_test, matrices.v_test)))
    train, test = np.array(losses).T
    return Descent(tau=np.array(tau), train=train, test=test)


def _loss(b: Array, u: Array, v: Array) -> float:
    return float(1 + (2 * np.sum(b.T * v) + np.sum((b @ u) * b)) / len(b))
