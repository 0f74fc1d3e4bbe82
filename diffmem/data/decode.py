"""Image files to arrays: find them in a folder, decode one to a square of given size.

JPEG, PNG, BMP, WebP, the PNM family (PGM, PPM, PBM) and TIFF, of which the first page. The recipe, in order: turn as
EXIF says; 16-bit gray to 8 bits;
lay transparent pixels over white; to gray (ITU-R 601 weights) or RGB; cut the largest centred square; resize it with an
antialiased triangle filter.
"""

import os
import re
import stat
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from diffmem.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".ppm", ".pbm", ".pnm", ".tif", ".tiff")
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "PPM", "TIFF")  # the decoders that are let at a file, in Pillow's words
NAMES = "JPEG, PNG, BMP, WebP, TIFF or PGM/PPM"
LARGEST = 1 << 28  # bytes of an image file
RECIPE = "exif, over white, gray or rgb, centre square, bilinear antialiased, 1"  # a new number when pixels change

Listing = list[tuple[str, int, int]]  # relative name, bytes, mtime in ns


def list_images(root: Path) -> tuple[Listing, str]:
    """Every image under `root` by its suffix, in natural order of relative paths, and what is said of other files.

    Hidden files are left out without a word. Raises InputError where the folder is missing, can't be read or holds no
    image.
    """
    if not root.exists():
        raise InputError(f"data.root={root} does not exist: give a folder of {NAMES} images.")
    listing: Listing = []
    others: Counter[str] = Counter()
    try:
        _walk(root, "", listing, others, frozenset())
    except OSError as error:
        raise InputError(
            f"data.root={root} can't be read ({error}): give a folder of {NAMES} images that you may read."
        ) from error
    said = _ignored(root, others)
    if not listing:
        fix = f"give a folder with {', '.join(SUFFIXES)} files."
        raise InputError(f"data.root={root} holds no image{f' ({said})' if said else ''}: {fix}")
    return sorted(listing, key=lambda entry: natural_key(entry[0])), said


def _ignored(root: Path, others: Counter[str]) -> str:
    """`12 files of photos are not read: .gif 10, .txt 2`; empty without any."""
    if not others:
        return ""
    ordered = sorted(others.items(), key=lambda kind: (-kind[1], kind[0]))
    kinds = ", ".join(f"{suffix or 'without suffix'} {count}" for suffix, count in ordered)
    total = others.total()
    return f"{total} file{'s' if total > 1 else ''} of {root} {'are' if total > 1 else 'is'} not read: {kinds}"


def _walk(folder: Path, prefix: str, listing: Listing, others: Counter[str], above: frozenset[tuple[int, int]]) -> None:
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:  # a link to a folder that it lies in
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                _walk(Path(entry.path), f"{prefix}{entry.name}/", listing, others, above | {here})
            elif entry.name.lower().endswith(SUFFIXES):
                file = entry.stat()
                if not stat.S_ISREG(file.st_mode) or file.st_size > LARGEST:
                    what = f"has {file.st_size} bytes" if stat.S_ISREG(file.st_mode) else "is no regular file"
                    raise InputError(f"{entry.path} {what}, so it is no image: take it out of data.root.")
                listing.append((prefix + entry.name, file.st_size, file.st_mtime_ns))
            else:
                others[Path(entry.name).suffix.lower()] += 1


def natural_key(name: str) -> tuple[list[list[str | int]], str]:
    """Sort key under which img2 comes before img10, folder by folder."""
    parts = [re.split(r"([0-9]+)", part) for part in name.split("/")]
    return [[int(text) if at % 2 else text for at, text in enumerate(part)] for part in parts], name


def decode(file: Path | BinaryIO, size: int, channels: int, name: str | None = None) -> np.ndarray:
    """One image file as uint8 [channels, size, size].

    Raises InputError, naming the file (`name`, where it is no path), where it can't be decoded.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or float("inf")):
                raise ValueError(f"{image.width}x{image.height} pixels are more than {Image.MAX_IMAGE_PIXELS}")
            ImageOps.exif_transpose(image, in_place=True)
            flat = _flatten(image).convert("L" if channels == 1 else "RGB")
            side = min(flat.size)
            left, top = (flat.width - side) // 2, (flat.height - side) // 2
            square = flat.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    except Exception as error:  # broken bytes make a decoder fail in any way
        raise InputError(f"{name or file} can't be decoded ({error}): mend it or take it out of data.root.") from error
    pixels = np.asarray(square)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _flatten(image: "Image.Image") -> "Image.Image":
    """8 bits a channel, and opaque."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("it holds floating-point values, which are no pixels")
    if image.mode.startswith("I"):  # 16-bit gray, which Pillow would clip rather than scale
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("it holds 32-bit values, which are no pixels")
        return Image.fromarray(np.round(values / 257).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA"))
    return image
