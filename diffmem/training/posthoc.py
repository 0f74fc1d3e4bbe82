"""Averages of any width from the two that are stored with every checkpoint, by least squares.

The power-function average of width sigma after step tau is theta = sum_k p(k) theta_k over the weights theta_k of all
steps, where p is a profile on (0, tau], constant theta_k on (k - 1, k]:

    p_(tau, gamma)(s) = (gamma + 1) s^gamma / tau^(gamma + 1)

Any other is looked for as sum_i c_i theta_i of the stored ones, whose profiles p_i end at the checkpoints up to tau.
The c_i minimize ||sum_i c_i p_i - p||^2 among those that keep the sum of the profile and its mean step, so that it is
exact wherever the weights move on a straight line. What remains, `residual` = ||sum_i c_i p_i - p|| / ||p||, is the
error of the rebuilt average in units of its own noise, where the weights jump independently from step to step.

Source: Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", appendix C (Algorithm 3
and Eq. 166, without the two conditions).

Letters: K checkpoints, P profiles.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffmem.training.average import POSTHOC, exponent

Array = NDArray[np.float64]
LIMIT = 0.5  # of the residual, beyond which nothing is rebuilt


@dataclass(frozen=True, eq=False)
class Fit:
    """`parts` [K, 2]: what each stored average of each checkpoint counts, in the order of POSTHOC."""

    parts: Array
    residual: float


@lru_cache(maxsize=4096)
def solve(steps: tuple[int, ...], sigma: float) -> Fit:
    """The average of width `sigma` after the last of `steps` (ascending, from 1), from the stored ones at `steps`."""
    gamma, last = exponent(sigma), float(steps[-1])
    ends = np.repeat(np.array(steps, dtype=np.float64), len(POSTHOC))
    powers = np.tile([exponent(width) for width in POSTHOC], len(steps))
    norms, norm = inner(ends, powers, ends, powers) ** 0.5, inner(last, gamma, last, gamma) ** 0.5
    products = inner(ends[:, None], powers[:, None], ends, powers) / norms[:, None] / norms
    with_it = inner(ends, powers, last, gamma) / norms / norm
    kept = [mean_step(int(end), power) for end, power in zip(ends, powers, strict=True)]
    conditions = np.stack([np.ones_like(ends), np.array(kept) / last]) / norms
    wanted = np.array([1.0, mean_step(steps[-1], gamma) / last]) / norm
    # Karush, Kuhn, Tucker: products x + conditions' multipliers = with_it, conditions x = wanted
    whole = np.block([[products, conditions.T], [conditions, np.zeros((2, 2))]])
    x = np.linalg.lstsq(whole, np.concatenate([with_it, wanted]), rcond=None)[0][: len(ends)]
    square = float(x @ products @ x - 2 * with_it @ x + 1)
    return Fit((x / norms * norm).reshape(len(steps), len(POSTHOC)), max(square, 0.0) ** 0.5)


def inner(end: Any, gamma: Any, other_end: Any, other_gamma: Any) -> Any:
    """The integral of the product of two profiles, elementwise (Karras et al. 2024, Algorithm 3)."""
    least = np.minimum(end, other_end)
    factor = (gamma + 1) * (other_gamma + 1) / (gamma + other_gamma + 1)
    return factor * (least / end) ** gamma * (least / other_end) ** other_gamma * least / (end * other_end)


@lru_cache(maxsize=4096)
def mean_step(last: int, gamma: float) -> float:
    """The mean of k under the weights that the average after step `last` gives to steps k = 1 ... last."""
    return last - float(((np.arange(1, last) / last) ** (gamma + 1)).sum())
