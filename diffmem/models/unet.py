"""The default network: diffusers' `UNet2DModel` in the shape of the study's U-Net.

Width W, level l with `W * multipliers[l]` channels, residual blocks of GroupNorm, SiLU and 3x3 convolutions,
self-attention at the chosen levels, a bottleneck at the deepest level, strided convolutions down, nearest-neighbour
upsampling and a convolution up, a sinusoidal time embedding through an MLP of 4W (Ho et al. 2020; the shape is that of
Bonnaire et al. 2025). 4.023 M parameters at W = 32 on 1x32x32 images.
"""

import torch
from torch import Tensor, nn

from diffmem.config.model import UNetModel


class UNet(nn.Module):
    """A `UNet2DModel` behind the call `model(x, t)`; `net` is diffusers' own module and saves in its format.

    diffusers knows one head width (channels a head) for all levels. It is the deepest level's channels over
    `heads`, so the deepest level and the bottleneck have `heads` heads and shallower levels have fewer.

    With `cfg.classes` labels an embedding of the label is added to that of the time; its last row stands for no label.

    Args:
        cfg: size of the network.
        shape: (C, H, W) of one image.
    """

    def __init__(self, cfg: UNetModel, shape: tuple[int, ...]) -> None:
        super().__init__()
        from diffusers.models.unets.unet_2d import UNet2DModel  # takes seconds to import

        levels = range(1, len(cfg.multipliers) + 1)
        channels = tuple(cfg.width * multiplier for multiplier in cfg.multipliers)
        self.net = UNet2DModel(
            sample_size=shape[-1],
            in_channels=shape[0],
            out_channels=shape[0],
            block_out_channels=channels,
            layers_per_block=cfg.blocks,
            down_block_types=tuple("AttnDownBlock2D" if level in cfg.attention else "DownBlock2D" for level in levels),
            up_block_types=tuple(
                "AttnUpBlock2D" if level in cfg.attention else "UpBlock2D" for level in reversed(levels)
            ),
            add_attention=cfg.mid_attention,
            attention_head_dim=cfg.head_width,
            norm_num_groups=cfg.groups,
            dropout=cfg.dropout,
            num_class_embeds=cfg.embeddings,
        )
        self.none = cfg.embeddings and cfg.embeddings - 1

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """epsilon [B, C, H, W] of x [B, C, H, W] at diffusion times t, int64 [B], told `labels`, int64 [B], or none."""
        if labels is None and self.none is not None:
            labels = torch.full(t.shape, self.none, device=t.device)
        epsilon: Tensor = self.net(x, t, class_labels=labels, return_dict=False)[0]
        return epsilon
