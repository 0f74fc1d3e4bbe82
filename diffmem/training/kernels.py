"""Which of several ways a training step computes attention and dropout: equal in law, not to the bit.

    attention   sdpa, or matmul: softmax(q k^T / sqrt(D)) v written out, where a layer has TOKENS positions
    dropout     bernoulli, or 16-bit: an element is kept where a uniform 16-bit word is below the share that is kept

What is chosen follows from settings and device alone, is written in the run's meta.json, and stays when the run goes
on. Measured on one core (Zen 5, torch 2.13), forward and backward, milliseconds in bfloat16:

    images, heads, positions, D    32 4 16 8   32 4 64 16   64 4 64 32   64 2 256 32   16 4 256 64   4 4 1024 16
    sdpa                               0.86        16.2         34.4          66.8          54.8          62.4
    matmul                             0.62         3.9          8.3          33.3          20.6          76.8

    elements dropped out               2.1 M     0.52 M
    bernoulli                          11.2        2.9
    16-bit                              4.9        1.2

In float32 sdpa is 1.5 to 4 times as fast as matmul at every size. Dropout draws from a generator of its own, and
nothing from torch's global one. Letters: B images, C channels, D values of one head.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffmem.arguments import shown
from diffmem.config.settings import Config
from diffmem.errors import InputError
from diffmem.models.unet_reference import Attention

TOKENS = range(32, 513)  # positions at which matmul is the faster
WORDS = 2**16
PACKED = "packed"  # beside them in a segment: runs were trained together (`pack.py`), which is no way to go on in


@dataclass(frozen=True)
class Kernels:
    """The ways, by the names above."""

    attention: str = "sdpa"
    dropout: str = "bernoulli"

    def stored(self) -> dict[str, str]:
        """As meta.json has them."""
        return asdict(self)


def read(segment: Mapping[str, Any]) -> Kernels:
    """The ways that a segment of meta.json says, by default those before there was a choice.

    Raises InputError for any that this version does not have.
    """
    said = segment.get("kernels", Kernels().stored())
    if isinstance(said, Mapping):
        said = {name: value for name, value in said.items() if name != PACKED}
    for attention, dropout in product(("sdpa", "matmul"), ("bernoulli", "16-bit")):
        if said == (kernels := Kernels(attention, dropout)).stored():
            return kernels
    raise InputError(
        f"segments of meta.json have kernels={shown(said)}: go on with the version of diffmem that wrote it."
    )


def choose(config: Config, device: torch.device) -> Kernels:
    """The faster ways for a run of `config` on `device`."""
    if device.type == "cpu" and config.train.precision == "bf16":
        return Kernels("matmul", "16-bit")
    return Kernels()


def install(model: nn.Module, kernels: Kernels, generator: torch.Generator) -> None:
    """Let `model` compute as `kernels` say in train mode, with dropout from `generator`; in eval mode as before."""
    for layer in list(model.modules()):
        for name, child in layer.named_children():
            if isinstance(child, (nn.Dropout, nn.Dropout2d)) and child.p > 0:
                whole, short = isinstance(child, nn.Dropout2d), kernels.dropout == "16-bit"
                setattr(layer, name, Dropout(child.p, generator, channels=whole, short=short and not whole))
        if kernels.attention == "matmul" and isinstance(layer, Attention):
            layer.mix = matmul_attention
        elif kernels.attention == "matmul" and hasattr(layer, "set_processor"):
            _write_out(layer)


def _write_out(layer: Any) -> None:
    """Of diffusers' attention."""
    layer.set_processor(Written(layer.get_processor()))


class Dropout(nn.Module):
    """Zero each element of x [B, C, ...], or each channel, with probability p, and divide the others by 1 - p."""

    def __init__(self, p: float, generator: torch.Generator, *, channels: bool, short: bool) -> None:
        super().__init__()
        self.p, self.channels, self.short = p, channels, short
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        return x * self._mask(x) if self.training else x

    def _mask(self, x: Tensor) -> Tensor:
        """1 / (1 - p) where an element is kept, else 0."""
        kept = 1 - self.p
        if self.short:
            below = round(kept * WORDS)
            words = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
            words.random_(-(2**63), None, generator=self.generator)
            uniform = words.view(torch.int16)[: x.numel()].view(x.shape)
            return (uniform < below - WORDS // 2).to(x.dtype).mul_(WORDS / below)
        # the draws and roundings of torch.nn.functional's own
        shape = (*x.shape[:2], *[1] * (x.ndim - 2))
        mask = x.new_empty(shape) if self.channels else torch.empty_like(x)
        return mask.bernoulli_(kept, generator=self.generator).div_(kept)


def matmul_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D)) v of [B, heads, positions, D] each; by torch's own kernel outside TOKENS."""
    if query.shape[-2] not in TOKENS:
        return F.scaled_dot_product_attention(query, key, value)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    return scores.softmax(-1) @ value


class Written:
    """diffusers' attention of x [B, C, H, W] in train mode by its written-out processor; in eval mode as before."""

    def __init__(self, usual: Callable[..., Tensor]) -> None:
        from diffusers.models.attention_processor import AttnProcessor  # takes seconds to import

        self._usual, self._written = usual, AttnProcessor()

    def __call__(self, layer: Any, x: Tensor, *words: Any, **options: Any) -> Tensor:
        """What `layer`, diffusers' own, makes of x and of whatever else it is called with."""
        written = layer.training and x.shape[2:].numel() in TOKENS
        mixed: Tensor = (self._written if written else self._usual)(layer, x, *words, **options)
        return mixed
