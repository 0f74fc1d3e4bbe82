"""The study's own U-Net, layer for layer, so that its checkpoints load and give the same output.

Bonnaire et al. 2025 (arXiv 2505.17638), after Ho et al. 2020: 4.023 M trainable parameters at W = 32 on 1x32x32
images (4.055 M with the frozen sinusoid table of 1000 x 32 numbers that the study's code stores; here it is computed).
A residual block is

    h = conv1(SiLU(GN(x))) + dense(SiLU(e_t)),   out = skip(x) + conv2(dropout(SiLU(GN(h)))),

dropout zeroes whole channels, and attention follows where a level has it. The time embedding is

    e_t = L2 GELU(L1 [sin(t f), cos(t f)]),   f_j = 10000^(-j / (W/2 - 1)).

`load_reference_state_dict` reads weights of the study's code. That numbers the residual blocks and the resampling
convolutions of one half of the U-Net in a single list (`encoder_blocks.3`); here they hang under their level
(`down.1.residuals.0`). Its sinusoid table is only checked.

Letters: B batch, C channels, H and W_ height and width, E = 4W.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffmem.config.model import UNetReferenceModel
from diffmem.errors import InputError

STUDY_HEADS, STUDY_GROUPS, STUDY_DROPOUT = 4, 8, 0.1  # settings that no weight's shape tells
SINUSOIDS = "time_embeddings.time_mlp.0.weight"  # [T, W]

# Beginnings of parameter names, ours -> the study's: outside the residual blocks, inside one, and of resampling.
OUTSIDE = {
    "time.0.": "time_embeddings.time_mlp.1.",
    "time.2.": "time_embeddings.time_mlp.3.",
    "stem.": "init_conv.",
    "norm.": "final_block.norm.",
    "head.": "final_block.conv.",
}
HALVES = {"down": "encoder_blocks", "middle": "bottleneck_blocks", "up": "decoder_blocks"}
RESIDUAL = {
    "norm1.": "block1.norm.",
    "conv1.": "block1.conv.",
    "time.": "dense.",
    "norm2.": "block2.norm.",
    "conv2.": "block2.conv.",
    "skip.": "res_conv.",
    "attention.norm.": "attention.group_norm.",
    "attention.qkv.": "attention.mhsa.in_proj_",
    "attention.out.": "attention.mhsa.out_proj.",
}
RESAMPLE = {"down": "downsample.", "up": "upsample.1."}


class Attention(nn.Module):
    """Self-attention over the pixels of x [B, C, H, W_], added to x.

    With a `gate`, what the heads give is multiplied by sigmoid(G u), u the normed input, before the last projection:
    elementwise and of each head its own (Qiu et al. 2025, arXiv 2505.06708, at their position G1).
    """

    def __init__(self, channels: int, heads: int, groups: int, gate: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        # The study's layer is torch's MultiheadAttention: Glorot for the three projections as one matrix, zero biases.
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)
        self.gate = nn.Linear(channels, channels) if gate else None
        self.mix: Callable[[Tensor, Tensor, Tensor], Tensor] = F.scaled_dot_product_attention  # in train mode

    def forward(self, x: Tensor) -> Tensor:
        pixels = self.norm(x).flatten(2).transpose(1, 2)  # [B, H W_, C]
        # [3, B, heads, H W_, C / heads]
        query, key, value = self.qkv(pixels).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mix = self.mix if self.training else F.scaled_dot_product_attention
        mixed = mix(query, key, value).transpose(1, 2).flatten(2)  # [B, H W_, C]
        if self.gate is not None:
            mixed = mixed * self.gate(pixels).sigmoid()
        return x + self.out(mixed).transpose(1, 2).reshape(x.shape)


class Residual(nn.Module):
    """Two convolutions with the time embedding between them, a skip, and attention where asked for."""

    def __init__(self, cfg: UNetReferenceModel, channels_in: int, channels: int, attention: bool) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(cfg.groups, channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.time = nn.Linear(4 * cfg.width, channels)
        self.norm2 = nn.GroupNorm(cfg.groups, channels)
        self.dropout = nn.Dropout2d(cfg.dropout)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.skip = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else nn.Identity()
        self.attention = Attention(channels, cfg.heads, cfg.groups, cfg.attention_gate) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x [B, C_in, H, W_], embedding [B, E] -> [B, C, H, W_]."""
        h = self.conv1(F.silu(self.norm1(x))) + self.time(F.silu(embedding))[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        out: Tensor = self.attention(self.skip(x) + h)
        return out


class Down(nn.Module):
    """The encoder's residual blocks at one resolution and the convolution to the next (`resample`; none at the end)."""

    def __init__(self, residuals: list[Residual], resample: nn.Conv2d | None) -> None:
        super().__init__()
        self.residuals = nn.ModuleList(residuals)
        self.resample = resample

    def forward(self, h: Tensor, embedding: Tensor) -> list[Tensor]:
        """h [B, C_in, H, W_], embedding [B, E] -> the output of each layer; the last goes on, all are skips."""
        outputs = []
        for residual in self.residuals:
            h = residual(h, embedding)
            outputs.append(h)
        return outputs if self.resample is None else [*outputs, self.resample(h)]


class Up(nn.Module):
    """The decoder's residual blocks at one resolution and the convolution of the next (`resample`; none at the end)."""

    def __init__(self, residuals: list[Residual], resample: nn.Conv2d | None) -> None:
        super().__init__()
        self.residuals = nn.ModuleList(residuals)
        self.resample = resample

    def forward(self, h: Tensor, skips: list[Tensor], embedding: Tensor) -> Tensor:
        """h [B, C_in, H, W_], embedding [B, E] -> [B, C, H, W_] or [B, C, 2H, 2W_]; takes its skips off the end."""
        for residual in self.residuals:
            h = residual(torch.cat([h, skips.pop()], dim=1), embedding)
        return h if self.resample is None else self.resample(F.interpolate(h, scale_factor=2.0, mode="nearest"))


class UNetReference(nn.Module):
    """The study's U-Net. Every level with attention, and the bottleneck, has `heads` heads.

    Args:
        cfg: size of the network; the study has heads = 4 and groups = 8.
        shape: (C, H, W_) of one image.
    """

    def __init__(self, cfg: UNetReferenceModel, shape: tuple[int, ...]) -> None:
        super().__init__()
        width, last = cfg.width, len(cfg.multipliers) - 1
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, 4 * width))
        self.stem = nn.Conv2d(shape[0], width, 3, padding=1)

        self.down = nn.ModuleList()
        now, skips = width, [width]  # channels of h, and of each skip still to be consumed
        for level, multiplier in enumerate(cfg.multipliers):
            channels, attention = width * multiplier, level + 1 in cfg.attention
            sizes = [now] + [channels] * (cfg.blocks - 1)
            residuals = [Residual(cfg, size, channels, attention) for size in sizes]
            resample = nn.Conv2d(channels, channels, 3, stride=2, padding=1) if level < last else None
            self.down.append(Down(residuals, resample))
            skips += [channels] * (cfg.blocks + (level < last))
            now = channels

        self.middle = nn.ModuleList(Residual(cfg, now, now, attention) for attention in (cfg.mid_attention, False))

        self.up = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(cfg.multipliers))):
            channels, attention = width * multiplier, level + 1 in cfg.attention
            sizes = [now] + [channels] * cfg.blocks
            residuals = [Residual(cfg, size + skips.pop(), channels, attention) for size in sizes]
            self.up.append(Up(residuals, nn.Conv2d(channels, channels, 3, padding=1) if level else None))
            now = channels

        self.norm = nn.GroupNorm(cfg.groups, now)
        self.head = nn.Conv2d(now, shape[0], 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """epsilon [B, C, H, W_] of x [B, C, H, W_] at diffusion times t, int64 [B]."""
        embedding = self.time(sinusoid(t, self.width))  # [B, E]
        skips = [self.stem(x)]
        for level in self.down:
            skips += level(skips[-1], embedding)
        h = skips[-1]
        for residual in self.middle:
            h = residual(h, embedding)
        for level in self.up:
            h = level(h, skips, embedding)
        epsilon: Tensor = self.head(F.silu(self.norm(h)))
        return epsilon


def sinusoid(t: Tensor, width: int) -> Tensor:
    """[sin(t f), cos(t f)] with f_j = 10000^(-j / (width/2 - 1)): float32 [B, width] of t [B]."""
    half = width // 2
    frequencies = torch.exp(torch.arange(half, dtype=torch.float32, device=t.device) * -(math.log(10000) / (half - 1)))
    angles = t.float()[:, None] * frequencies  # [B, width/2]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def load_reference_state_dict(state_dict: Mapping[str, Tensor]) -> nn.Module:
    """The study's network with the weights of one of its checkpoints, in eval mode.

    Args:
        state_dict: name -> tensor, as the study's code saves it, with or without the prefix `module.`.

    Returns:
        `model(x, t)` -> epsilon.

    Raises:
        InputError: the names or shapes are not those of the study's U-Net.
    """
    weights = {name.removeprefix("module."): tensor for name, tensor in state_dict.items()}
    cfg, channels = _read_size(weights)
    model = UNetReference(cfg, (channels,))
    names = study_names(model)
    table = weights.pop(SINUSOIDS, None)
    missing = [name for name in names.values() if name not in weights] + [SINUSOIDS] * (table is None)
    unexpected = sorted(set(weights) - set(names.values()))
    if missing or unexpected:
        raise _not_the_study(missing, unexpected)
    for ours, tensor in model.state_dict().items():
        weight = weights[names[ours]]
        if weight.shape != tensor.shape:
            raise InputError(
                f"{names[ours]} has shape {tuple(weight.shape)}, where the study's U-Net of width {cfg.width} has "
                f"{tuple(tensor.shape)}: these weights are of another network."
            )
    assert table is not None
    if table.shape[-1] != cfg.width or not table.float().allclose(
        sinusoid(torch.arange(len(table)), cfg.width), atol=1e-3
    ):
        raise InputError(
            f"{SINUSOIDS} is not the table of sines and cosines of the study's U-Net of width {cfg.width}: "
            "these weights are of another network."
        )
    model.load_state_dict({ours: weights[theirs] for ours, theirs in names.items()})
    return model.eval()


def study_names(model: UNetReference) -> dict[str, str]:
    """Every parameter of `model` -> its name in the study's code."""
    beginnings = dict(OUTSIDE)
    count: Counter[str] = Counter()
    for path, module in model.named_modules():
        half = path.split(".")[0]
        place = f"{HALVES.get(half)}.{count[half]}."
        if isinstance(module, Residual):
            beginnings |= {f"{path}.{ours}": place + theirs for ours, theirs in RESIDUAL.items()}
        elif path.endswith(".resample"):
            beginnings[f"{path}."] = place + RESAMPLE[half]
        else:
            continue
        count[half] += 1
    names = {}
    for name in model.state_dict():
        beginning, dot, kind = name.rpartition(".")
        names[name] = beginnings[beginning + dot] + kind
    return names


def _read_size(weights: Mapping[str, Tensor]) -> tuple[UNetReferenceModel, int]:
    """Size of the network and channels C of its images, read off names and shapes."""
    levels: list[list[str]] = [[]]  # the residual blocks of each level of the encoder
    while True:
        place = f"encoder_blocks.{sum(map(len, levels)) + len(levels) - 1}"
        if f"{place}.block1.conv.weight" in weights:
            levels[-1].append(place)
        elif f"{place}.downsample.weight" in weights:
            levels.append([])
        else:
            break
    needed = ("init_conv.weight", "encoder_blocks.0.block1.conv.weight")
    missing = [name for name in needed if name not in weights or weights[name].ndim != 4]
    if missing or not all(levels):
        raise _not_the_study(missing, sorted(weights))
    width, channels = weights["init_conv.weight"].shape[:2]
    cfg = UNetReferenceModel(
        width=width,
        blocks=len(levels[0]),
        multipliers=tuple(max(1, len(weights[f"{level[0]}.block1.conv.weight"]) // width) for level in levels),
        attention=tuple(
            number for number, level in enumerate(levels, 1) if f"{level[0]}.attention.group_norm.weight" in weights
        ),
        mid_attention="bottleneck_blocks.0.attention.group_norm.weight" in weights,
        heads=STUDY_HEADS,
        groups=STUDY_GROUPS,
        dropout=STUDY_DROPOUT,
    )
    return cfg, channels


def _not_the_study(missing: list[str], unexpected: list[str]) -> InputError:
    def listed(names: list[str]) -> str:
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "none"

    return InputError(
        f"not a state dict of the study's U-Net (missing: {listed(missing)}; unexpected: {listed(unexpected)}): "
        "give one that the study's training code saved."
    )
