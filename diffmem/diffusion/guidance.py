"""How much a label counts: classifier-free guidance, of a network's epsilon and of any score alike.

f(x, t) + guidance (f(x, t, labels) - f(x, t))      (Ho and Salimans 2022, Eq. 6: guidance = 1 + w)
"""

from torch import Tensor

from diffmem.diffusion.process import Denoiser


def guided(f: Denoiser, x: Tensor, t: Tensor, labels: Tensor | None, guidance: float) -> Tensor:
    """`f`, epsilon or score, at points `x` [B, ...] and times `t` [B], guided to `labels` [B]; plain without them.

    With guidance 0 or 1, f is called once.
    """
    if labels is None or guidance == 0:
        return f(x, t)
    labelled = f(x, t, labels)
    if guidance == 1:
        return labelled
    plain = f(x, t)
    return plain + guidance * (labelled - plain)
