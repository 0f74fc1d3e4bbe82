"""The data sets and their options. `Data` is the table: a set is a dataclass in it, and a loader in `diffmem.data`."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from diffmem.config.options import Variant, option, variants
from diffmem.errors import InputError


@dataclass(frozen=True, kw_only=True)
class DataConfig(Variant, ABC):
    """Which images: subset `index` of `n` images of a data set in its fixed order, times `scale`."""

    name: ClassVar[str]
    n: int = option(low=2)
    index: int = option(low=0)
    scale: float = option(above=0)

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of one image, (C, H, W), or of one point, (d,)."""

    @property
    def d(self) -> int:
        """Data dimension."""
        return math.prod(self.shape)

    @property
    def flat(self) -> bool:
        """Whether one datum is a point, not an image."""
        return len(self.shape) == 1

    def largest_n(self, limit: int) -> int:
        """The largest n up to `limit` that this set can give."""
        return limit


@dataclass(frozen=True, kw_only=True)
class ImageData(DataConfig):
    """Square images."""

    size: int = option(low=2)  # pixels a side
    channels: int = option(choices=(1, 3))

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels, self.size, self.size)


@dataclass(frozen=True, kw_only=True)
class FileData(ImageData):
    """Images that do not ship with a package."""

    root: str | None  # folder or file that holds them


@dataclass(frozen=True, kw_only=True)
class DigitsData(ImageData):
    """Handwritten digits, 8x8 gray."""

    name: ClassVar[str] = "digits"


@dataclass(frozen=True, kw_only=True)
class FashionMnistData(FileData):
    """Images of clothes, 32x32 gray; root=null is where Debian's package puts them."""

    name: ClassVar[str] = "fashion_mnist"


@dataclass(frozen=True, kw_only=True)
class ImageFolderData(FileData):
    """The user's own images."""

    name: ClassVar[str] = "image_folder"


@dataclass(frozen=True, kw_only=True)
class CelebaData(FileData):
    """CelebA faces."""

    name: ClassVar[str] = "celeba"


@dataclass(frozen=True, kw_only=True)
class MixtureData(DataConfig):
    """Two Gaussians, half of the points from each: the one set whose score is known exactly."""

    name: ClassVar[str] = "mixture"
    dim: int = option(low=1)  # dimension d
    mu: float = option(above=0)  # the two means are +mu and -mu in every coordinate
    sigma: float = option(above=0)  # standard deviation of each component

    def __post_init__(self) -> None:
        if self.n % 2:
            raise InputError(
                f"data.n={self.n} is odd, and the mixture draws n/2 points from each of its two components: "
                f"use an even number such as data.n={self.n + 1}."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.dim,)

    def largest_n(self, limit: int) -> int:
        return limit - limit % 2


Data = DigitsData | FashionMnistData | ImageFolderData | CelebaData | MixtureData
DATA = variants(Data)
