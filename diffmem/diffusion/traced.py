"""A network's calls as a traced graph with its weights folded in: the same bits in less time, for samplers on a CPU.

A trace is made once, of a network of this shape; weights are folded in anew for every checkpoint, and convolutions then
take theirs as they need them. It is used where that pays (WORTH), and for a shape of images on which its answer has
been the network's own bit for bit; where it has not, or where a network cannot be traced, the network itself is called.
"""

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from diffmem.diffusion.process import Denoiser

WORTH = 20_000  # images through the network, by a sampler, from which on folding the weights in pays
WARM = 2  # calls in which the graph is still being fitted to a shape


class Traced:
    """The trace of one kind of network: made at first need, kept for all its checkpoints."""

    def __init__(self) -> None:
        self._network: nn.Module | None = None
        self._graph: Any = None
        self._impossible = False
        self._same: dict[tuple[int, ...], bool] = {}  # whether the answer for images of this shape had the same bits

    @torch.no_grad()
    def of(self, model: nn.Module, x: Tensor) -> Denoiser:
        """`model`, in eval mode, on images like `x` [B, ...]: fast where it can be, with the same answers."""
        if x.device.type != "cpu" or self._impossible:
            return model
        with warnings.catch_warnings():
            # that torch.compile is newer (it takes minutes), and that lengths of shapes are taken for constants
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            try:
                folded = self._folded(model, x)
            except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError):
                self._impossible = True
                return model

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            if x.shape not in self._same:
                answers = [folded(x, t) for _ in range(WARM + 1)]
                self._same[x.shape] = torch.equal(answers[-1], model(x, t))
            answer: Tensor = folded(x, t) if self._same[x.shape] else model(x, t)
            return answer

        return denoise

    def _folded(self, model: nn.Module, x: Tensor) -> Any:
        if self._network is None:
            network = copy.deepcopy(model).eval()
            times = torch.zeros(len(x), dtype=torch.int64)
            self._graph = torch.jit.trace(network, (x, times), check_trace=False)
            self._network = network
        self._network.load_state_dict(model.state_dict())
        return torch.jit.optimize_for_inference(torch.jit.freeze(self._graph))
