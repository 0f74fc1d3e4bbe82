"""The networks and their options. `Model` is the table: a network is a dataclass in it, and a module in
`diffmem.models`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from diffmem.arguments import shown
from diffmem.config.options import Variant, option, variants
from diffmem.errors import InputError

AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Variant, ABC):
    """Which network. `width` is W, `blocks` the residual blocks: of a level (U-Nets), or in all (resmlp)."""

    name: ClassVar[str]
    flat: ClassVar[bool]  # whether it takes points, not images
    width: int = option(low=1, high=2**14)
    blocks: int = option(low=1, high=256)
    # largest singular value that each convolution and linear layer has; null leaves them free
    spectral_norm: float | None = option(above=0, high=1e6, default=None)

    @abstractmethod
    def least_weights(self, d: int) -> int:
        """Numbers that the network of data of dimension d holds at least: its largest layers."""

    @abstractmethod
    def least_activations(self, d: int) -> int:
        """Numbers of one image of dimension d that training keeps at least, for the way back."""

    @property
    def has_dropout(self) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class LabelledConfig(ModelConfig, ABC):
    """A network that, with `classes` labels, is told one with each image, or that there is none."""

    classes: int | str | None = option(low=1, high=10**7, default=None)  # auto: as many as data.labels has

    def __post_init__(self) -> None:
        if isinstance(self.classes, str) and self.classes != AUTO:
            raise InputError(
                f"model.classes='{shown(self.classes)}' is neither a number of labels, nor {AUTO}, nor null."
            )

    @property
    def embeddings(self) -> int | None:
        """Rows of the label embedding: one a label, and the last for none; None of a network without labels."""
        return self.classes + 1 if isinstance(self.classes, int) else None


@dataclass(frozen=True, kw_only=True)
class UNetConfig(ModelConfig):
    """Size of a U-Net. Level l has `width * multipliers[l]` channels."""

    flat: ClassVar[bool] = False
    multipliers: tuple[int, ...] = option(low=1, high=64, most=10)
    attention: tuple[int, ...] = option(low=1, high=10, most=10)  # levels with attention, counted from 1
    mid_attention: bool  # attention in the bottleneck
    heads: int = option(low=1, high=1024)  # attention heads at the deepest level
    groups: int = option(low=1, high=1024)  # of GroupNorm
    dropout: float = option(low=0, high=0.99)

    def __post_init__(self) -> None:
        if not self.multipliers:
            raise InputError("model.multipliers=[] names no level: give one factor a level, such as [1,2,4].")
        for level in self.attention:
            if level > len(self.multipliers):
                raise InputError(
                    f"model.attention names level {level}, and the U-Net has {len(self.multipliers)} levels "
                    "(one for each of model.multipliers): name levels from 1 to that."
                )
        for multiplier in self.multipliers:
            channels = self.width * multiplier
            if channels % self.groups:
                raise InputError(
                    f"model.width={self.width} gives a level of {channels} channels, which model.groups="
                    f"{self.groups} does not divide: use a width that is a multiple of {self.groups}, or other groups."
                )
        if (self.attention or self.mid_attention) and self.deepest % self.heads:
            raise InputError(
                f"model.heads={self.heads} does not divide the {self.deepest} channels of the deepest level: "
                "use a divisor of it."
            )

    @property
    def deepest(self) -> int:
        """Channels of the deepest level."""
        return self.width * self.multipliers[-1]

    @property
    def has_dropout(self) -> bool:
        return self.dropout > 0

    def least_weights(self, d: int) -> int:
        # a block has two 3x3 convolutions, of which one at least has the level's channels on both sides; down and up
        return sum(2 * self.blocks * 9 * (self.width * factor) ** 2 for factor in self.multipliers)

    def least_activations(self, d: int) -> int:
        return 2 * self.blocks * self.width * self.multipliers[0] * (d // 3)  # d holds one channel, or three

    def attended(self) -> dict[int, int]:
        """Level -> channels, of the levels with attention."""
        return {level: self.width * self.multipliers[level - 1] for level in self.attention}

    def check_size(self, size: int) -> None:
        """Raise InputError where images of `size` pixels a side cannot be halved from level to level."""
        levels = len(self.multipliers)
        if size % 2 ** (levels - 1):
            raise InputError(
                f"model.multipliers has {levels} levels, which halve the image {levels - 1} times, and data.size="
                f"{size} is no multiple of {2 ** (levels - 1)}: use fewer levels or another size."
            )


@dataclass(frozen=True, kw_only=True)
class UNetModel(UNetConfig, LabelledConfig):
    """diffusers' U-Net: one head width for all levels, the deepest level's channels over `heads`."""

    name: ClassVar[str] = "unet"

    def __post_init__(self) -> None:
        UNetConfig.__post_init__(self)
        LabelledConfig.__post_init__(self)
        for level, channels in self.attended().items():
            if channels % self.head_width:
                raise InputError(
                    f"model.heads={self.heads} makes heads of {self.head_width} channels, which do not divide the "
                    f"{channels} channels of level {level}, named in model.attention: use more heads."
                )

    def least_weights(self, d: int) -> int:
        return super().least_weights(d) + 4 * self.width * (self.embeddings or 0)

    @property
    def head_width(self) -> int:
        """Channels of one attention head, the same at all levels."""
        return self.deepest // self.heads if self.attention or self.mid_attention else self.deepest


@dataclass(frozen=True, kw_only=True)
class UNetReferenceModel(UNetConfig):
    """The study's U-Net: `heads` heads at every level with attention."""

    name: ClassVar[str] = "unet_reference"
    attention_gate: bool = False  # on attention's output, from its input (Qiu et al. 2025)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % 2 or self.width < 4:
            raise InputError(
                f"model.width={self.width} does not fit unet_reference, whose time embedding is half sines and half "
                "cosines: use an even width of at least 4."
            )
        for level, channels in self.attended().items():
            if channels % self.heads:
                raise InputError(
                    f"model.heads={self.heads} does not divide the {channels} channels of level {level}, named in "
                    "model.attention: use a divisor of it."
                )


@dataclass(frozen=True, kw_only=True)
class ResMLPModel(LabelledConfig):
    """The study's residual MLP, for points."""

    name: ClassVar[str] = "resmlp"
    flat: ClassVar[bool] = True

    def least_weights(self, d: int) -> int:
        return 2 * self.blocks * self.width**2 + (2 * d + (self.embeddings or 0)) * self.width

    def least_activations(self, d: int) -> int:
        return 2 * self.blocks * self.width


Model = UNetModel | UNetReferenceModel | ResMLPModel
MODELS = variants(Model)
