"""Whether a family's times ask for more than a power law, and which shape of law predicts them best.

The three shapes of `shapes` are fitted to the means of runs that share n and W (or to single runs where these err by
themselves). The test is the likelihood ratio of the better bent shape to the power law, against its values on families
drawn from the power law with the components of scatter that it leaves (`components`), so that what runs share counts
once. A shape is chosen by the task: inside the values of n by leaving each out in turn, beyond them by leaving out the
largest and the two largest. Censored runs count as the power law's fit places them (`components`).

N runs, U cells of one n and W, G values of n, B copies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from . import shapes
from .components import Components, estimate_censored, least_squares
from .tobit import Array, fit_tobit

TESTED = 5  # values of n that a test needs
CHOSEN = 5  # values of n that a choice needs
REJECTED = 0.05  # p below which times are said to follow no power law
NO_OFFSET = 0.98  # the least share of C n^α W^β in the times, above which τ_0 is none
FAR = 20.0  # in log τ: what misses by more misses by this
TASKS = ("inside", "beyond")


@dataclass(frozen=True)
class Runs:
    """Log times of runs [N] with x [N, k] (1, log n and, where W varies, log W), and what they share.

    `centre` is taken off x, as `shapes` asks for.
    """

    x: Array
    y: Array
    censored: NDArray[np.int64]
    factors: Mapping[str, ArrayLike]

    @property
    def centre(self) -> Array:
        return np.append(0.0, self.x[:, 1:].mean(axis=0))

    @property
    def reached_n(self) -> int:
        """How many n have a run that is not censored."""
        return len(np.unique(self.x[self.censored == 0, 1]))


class Bent(NamedTuple):
    """A law of one shape at its fit: `linear` [N, k] its derivatives at the runs, `value` and `weight` [N] what their
    weighted least squares takes (about the fit), `p` its coefficients, `parts` the components of its scatter."""

    shape: str
    p: Array
    linear: Array
    value: Array
    weight: Array
    parts: Components


class _Cells(NamedTuple):
    """Means of log τ: x [U, k], y [U], weight [U], and of which cell each run is [N]."""

    x: Array
    y: Array
    weight: Array
    of_run: NDArray[np.int64]


def bent(runs: Runs, shape: str) -> Bent:
    """The law of one shape for the runs, censored ones as what they are: one step of Gauss and Newton from the fit.

    An offset that comes out as none, or as the same share of every time, leaves the power law.
    """
    x = runs.x - runs.centre
    power, _ = _power(runs)
    p = power.p
    if shape != "power law":
        cells = _cells(runs, power)
        p = shapes.fit(shape, cells.x, cells.y[None], cells.weight[None])[0][0]
        if shape == "offset":
            growth = shapes.growing(p, x)
            if growth.min() > NO_OFFSET or np.ptp(growth) < 1 - NO_OFFSET:
                return power
    linear = np.asarray(shapes.gradient(shape, p, x))
    about = runs.y - shapes.value(shape, p, x)
    step, sigma, _ = fit_tobit(linear, about, runs.censored, np.ones((1, len(about))))
    fitted = estimate_censored(linear, about, runs.censored, step[0], float(sigma[0]), runs.factors)
    return Bent(shape, p, linear, *fitted)


def summary(runs: Runs, n_boot: int = 199, seed: int = 0) -> dict[str, Any] | None:
    """What `laws.json` holds under "bend"; None for fewer than five values of n.

    `p_power_law` is the p-value of the power law, `p_runs_alone` what it would be if runs shared nothing; `shape` the
    better bent one with its coefficients; `local` its exponents d log τ / d log n at the smallest and the largest n,
    with intervals that hold the 95% intervals of both bent shapes; `left_out` by what factor each shape misses the n
    left out, by task.
    """
    if runs.reached_n < TESTED:
        return None
    power, cells = _power(runs)
    p_value, shape = _test(cells, power, n_boot, seed)
    alone = replace(runs, factors={})
    p_alone = _test(_power(alone)[1], _power(alone)[0], n_boot, seed)[0] if runs.factors else p_value
    law = bent(runs, shape)
    return {
        "p_power_law": p_value,
        "p_runs_alone": p_alone,
        "shape": law.shape,
        "coefficients": _named(law, runs.centre),
        "local": _either([_local(bent(runs, one), runs) for one in sorted(shapes.SHAPES[1:], key=shape.__ne__)]),
        "left_out": {task: left_out(cells, task) for task in TASKS},
    }


def choose(runs: Runs, task: str) -> str:
    """The shape that predicts best for the `task` ("inside" or "beyond" the values of n)."""
    if runs.reached_n < CHOSEN:
        return "power law"
    errors = left_out(_power(runs)[1], task)
    return min(errors, key=lambda shape: errors[shape])


def left_out(cells: _Cells, task: str) -> dict[str, float]:
    """By what factor each shape misses the n that it was not fitted to: exp of the root mean square of log errors."""
    ns = np.unique(cells.x[:, 1])
    if len(ns) < CHOSEN:
        return {}
    of_n = cells.x[:, 1]
    gone = np.array([of_n == one for one in ns] if task == "inside" else [of_n >= one for one in ns[-2:]])  # [folds, U]
    weight = np.where(gone, 0.0, cells.weight)
    out = {}
    for shape in shapes.SHAPES:
        p, _ = shapes.fit(shape, cells.x, np.tile(cells.y, (len(gone), 1)), weight)
        squares = (cells.y - shapes.value(shape, p, cells.x)) ** 2
        missed = np.sqrt((squares * cells.weight)[gone].sum() / (gone * cells.weight).sum())
        out[shape] = float(np.exp(min(missed, FAR)))
    return out


def _power(runs: Runs) -> tuple[Bent, _Cells]:
    x, middle = runs.x - runs.centre, runs.y.mean()
    b, sigma, _ = fit_tobit(x, runs.y - middle, runs.censored, np.ones((1, len(x))))
    value, weight, parts = estimate_censored(x, runs.y - middle, runs.censored, b[0], float(sigma[0]), runs.factors)
    b[0, 0] += middle
    law = Bent("power law", b[0], x, value + middle - x @ b[0], weight, parts)
    return law, _cells(runs, law)


def _cells(runs: Runs, power: Bent) -> _Cells:
    """Means over runs of one n and W, where runs of one n err together; else the runs."""
    x, y = power.linear, power.value + power.linear @ power.p
    of_run = np.unique(x, axis=0, return_inverse=True)[1] if "n" in runs.factors else np.arange(len(x))
    of_run = of_run.reshape(-1)
    weight = np.bincount(of_run, power.weight).astype(np.float64)
    first = np.unique(of_run, return_index=True)[1]
    mean = np.bincount(of_run, power.weight * y) / weight
    even = np.minimum(weight, 1.0) if "n" in runs.factors else weight  # one n is one witness, however many its runs
    return _Cells(x[first], mean, even, of_run)


def _test(cells: _Cells, power: Bent, n_boot: int, seed: int) -> tuple[float, str]:
    """The p-value of the power law, and the better bent shape."""
    parts = power.parts
    spread = np.sqrt(np.maximum(parts.variance, 0.0))
    rng = np.random.default_rng(seed)
    drawn = np.zeros((n_boot, len(power.value)))
    for size, kernel in zip(spread[:-1], parts.kernels[:-1], strict=True):
        label = kernel.argmax(axis=1)  # the first run that shares it
        drawn += size * rng.standard_normal((n_boot, len(label)))[:, label]
    drawn += spread[-1] * rng.standard_normal(drawn.shape) * np.sqrt(parts.kernels[-1].diagonal())
    total = np.bincount(cells.of_run, power.weight)
    means = np.zeros((n_boot, len(total)))
    np.add.at(means.T, cells.of_run, (power.weight * drawn).T)
    y = np.vstack([cells.y, cells.x @ power.p + means / total])
    loss = {shape: shapes.fit(shape, cells.x, y, np.tile(cells.weight, (len(y), 1)))[1] for shape in shapes.SHAPES}
    straight = loss["power law"] + 1e-15 * len(cells.y)
    ratio = {shape: np.log(straight / (loss[shape] + 1e-15 * len(cells.y))) for shape in shapes.SHAPES[1:]}
    most = np.maximum(*ratio.values())
    better = max(ratio, key=lambda shape: float(ratio[shape][0]))
    return float((1 + (most[1:] >= most[0]).sum()) / (1 + n_boot)), better


def _local(law: Bent, runs: Runs) -> list[dict[str, float]]:
    """d log τ / d log n of a law at the smallest and the largest n, at the middle W, with its 95% interval."""
    inverse = least_squares(law.linear, law.weight)
    out = []
    for end in (runs.x[:, 1].min(), runs.x[:, 1].max()):
        at = np.zeros((1, runs.x.shape[1]))
        at[0, :2] = 1.0, end - runs.centre[1]
        value, row = shapes.exponent(law.shape, law.p, at)
        error, dof = law.parts.error(row[0] @ inverse)
        half = float(stdtrit(dof, 0.975)) * error
        found = float(value[0])
        out.append({"n": float(np.exp(end).round()), "exponent": found, "low": found - half, "high": found + half})
    return out


def _either(ends: list[list[dict[str, float]]]) -> list[dict[str, float]]:
    """The exponents of the first shape, with the least and the greatest end of all: the data chose the shape."""
    return [
        {**at[0], "low": min(one["low"] for one in at), "high": max(one["high"] for one in at)}
        for at in zip(*ends, strict=True)
    ]


def _named(law: Bent, centre: Array) -> dict[str, float]:
    """The coefficients by name, in steps: τ_0, C, α, β of the offset law, or C, α, β, κ of the quadratic in log n."""
    p = law.p.copy()
    if law.shape == "quadratic":
        p[0] += p[-1] * centre[1] ** 2
        p[1] -= 2 * p[-1] * centre[1]
    width = [("beta", float(p[2]))] if len(centre) == 3 else []
    last = {"offset": [("tau_0", float(np.exp(p[-1])))], "quadratic": [("kappa", float(p[-1]))], "power law": []}
    log_c = float(p[0] - p[1 : len(centre)] @ centre[1:])
    return dict([("log_c", log_c), ("alpha", float(p[1])), *width, *last[law.shape]])
