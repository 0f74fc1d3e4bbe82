"""The study's residual MLP for points of a Gaussian mixture.

Bonnaire et al. 2025 (arXiv 2505.17638): x [B, d] -> Linear(d, W), `blocks` times

    h = LayerNorm(h + L2 GELU(L1 (h + e_t))),

then Linear(W, d). The time embedding e_t interleaves cosines and sines of t at frequencies 10000^(-2j / W) and enters
every block; so does an embedding of the label, where the network is told one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffmem.config.model import ResMLPModel


class Block(nn.Module):
    """h [B, W], embedding [B, W] -> [B, W]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, width)
        self.linear2 = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        out: Tensor = self.norm(h + self.linear2(F.gelu(self.linear1(h + embedding))))
        return out


class ResMLP(nn.Module):
    """The residual MLP.

    Args:
        cfg: `width`, `blocks` and `classes`, the labels that it knows; one row of their embedding stands for none.
        shape: (d,) of one point.
    """

    def __init__(self, cfg: ResMLPModel, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.width = cfg.width
        self.first = nn.Linear(shape[0], cfg.width)
        self.blocks = nn.ModuleList(Block(cfg.width) for _ in range(cfg.blocks))
        self.last = nn.Linear(cfg.width, shape[0])
        self.labels = None if cfg.embeddings is None else nn.Embedding(cfg.embeddings, cfg.width)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """epsilon [B, d] of x [B, d] at diffusion times t [B], which need not be whole, told `labels` [B] or none."""
        embedding = interleaved_sinusoid(t, self.width)
        if self.labels is not None:
            none = self.labels.num_embeddings - 1
            embedding = embedding + self.labels(
                torch.full_like(t, none, dtype=torch.int64) if labels is None else labels
            )
        h = self.first(x)
        for block in self.blocks:
            h = block(h, embedding)
        epsilon: Tensor = self.last(h)
        return epsilon


def interleaved_sinusoid(t: Tensor, width: int) -> Tensor:
    """cos(t f_0), sin(t f_0), cos(t f_1), ... with f_j = 10000^(-2j / width): float32 [B, width] of t [B]."""
    pairs = torch.arange((width + 1) // 2, dtype=torch.float32, device=t.device)
    angles = t.float()[:, None] * 10000.0 ** (-2 * pairs / width)  # [B, ceil(width / 2)]
    return torch.stack([angles.cos(), angles.sin()], dim=-1).flatten(1)[:, :width]
