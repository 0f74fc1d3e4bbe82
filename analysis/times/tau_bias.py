"""Definitions of τ_bias, the training time at which samples lean towards the training images, long before copies.

    bias_crosses   p_train rises through null + θ (1 - null), θ = 0.2, and stays                        (the default)
    bias_onset     the lower bound of p_train passes the upper bound of the null, and stays there

p_train is the share of samples that lie closer to the training images than to as many held-out ones, the null that of
held-out images. Its curve is a share of effective numbers of samples (`curves`), so its times are read as those of
f_mem.
"""

from collections.abc import Callable

from diffmem.definitions import THETA_BIAS

from .curves import Curve, Draws
from .tau_mem import share_crosses, share_onset
from .timescale import Timescale


def bias_crosses(curve: Curve, draws: Draws) -> Timescale:
    return share_crosses("bias_crosses", curve, draws, THETA_BIAS)


def bias_onset(curve: Curve, draws: Draws) -> Timescale:
    return share_onset("bias_onset", curve, draws)


BIAS_DEFINITIONS: dict[str, Callable[[Curve, Draws], Timescale]] = {
    "bias_crosses": bias_crosses,
    "bias_onset": bias_onset,
}
