"""Image files to arrays: find them in a folder, decode one to a square of given size.

The recipe, in order: turn as EXIF says; 16-bit gray to 8 bits; lay transparent pixels over white; to gray (ITU-R 601
weights) or RGB; cut the largest centred square; resize it with an antialiased triangle filter.
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffmem.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png")
RECIPE = "exif, over white, gray or rgb, centre square, bilinear antialiased, 1"  # a new number when pixels change

Listing = list[tuple[str, int, int]]  # relative name, bytes, mtime in ns


def list_images(root: Path) -> Listing:
    """Every JPEG and PNG under `root` by its suffix, in natural order of relative paths; hidden ones are left out.

    Raises InputError where the folder is missing, can't be read or holds none.
    """
    if not root.exists():
        raise InputError(f"data.root={root} does not exist: give a folder of JPEG or PNG images.")
    listing: Listing = []
    try:
        _walk(root, "", listing, frozenset())
    except OSError as error:
        raise InputError(
            f"data.root={root} can't be read ({error}): give a folder of JPEG or PNG images that you may read."
        ) from error
    if not listing:
        raise InputError(f"data.root={root} holds no image: give a folder with {', '.join(SUFFIXES)} files.")
    return sorted(listing, key=lambda entry: natural_key(entry[0]))


def _walk(folder: Path, prefix: str, listing: Listing, above: frozenset[tuple[int, int]]) -> None:
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:  # a link to a folder that it lies in
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                _walk(Path(entry.path), f"{prefix}{entry.name}/", listing, above | {here})
            elif entry.name.lower().endswith(SUFFIXES):
                file = entry.stat()
                listing.append((prefix + entry.name, file.st_size, file.st_mtime_ns))


def natural_key(name: str) -> tuple[list[list[str | int]], str]:
    """Sort key under which img2 comes before img10, folder by folder."""
    parts = [re.split(r"([0-9]+)", part) for part in name.split("/")]
    return [[int(text) if at % 2 else text for at, text in enumerate(part)] for part in parts], name


def decode(path: Path, size: int, channels: int) -> np.ndarray:
    """One image file as uint8 [channels, size, size]. Raises InputError, naming the file, where it can't be decoded."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or float("inf")):
                raise ValueError(f"{image.width}x{image.height} pixels are more than {Image.MAX_IMAGE_PIXELS}")
            ImageOps.exif_transpose(image, in_place=True)
            flat = _flatten(image).convert("L" if channels == 1 else "RGB")
            side = min(flat.size)
            left, top = (flat.width - side) // 2, (flat.height - side) // 2
            square = flat.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    except Exception as error:  # broken bytes make a decoder fail in any way
        raise InputError(f"{path} can't be decoded ({error}): mend it or take it out of data.root.") from error
    pixels = np.asarray(square)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _flatten(image: "Image.Image") -> "Image.Image":
    """8 bits a channel, and opaque."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16-bit gray, which Pillow would clip rather than scale
        return Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA"))
    return image
