"""Any folder of images, nested folders too: square, gray or RGB, in natural order of their names.

Prepared once (`decode.py` says how) into a checksummed cache that is mapped from disk, so neither a second run nor
a large folder costs decoding or memory. The key is the folder, its listing (names, sizes, mtimes) and the recipe.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from diffmem.config.data import FileData, ImageFolderData
from diffmem.data import decode
from diffmem.data.cache import find, prepared
from diffmem.data.dataset import Dataset, held_out_count, shuffled
from diffmem.errors import InputError

KIND = "image_folder"  # of an entry of the cache
BLOCK = 64  # images that one thread decodes at a time
log = logging.getLogger(__name__)


def load(cfg: ImageFolderData) -> Dataset:
    """All images under `data.root` at `data.size` and `data.channels`.

    The test split is the last 2048, or the last half where there are fewer than 2050 images. Raises InputError for a
    missing, empty or unreadable folder, and for an image that can't be decoded.
    """
    if cfg.root is None:
        raise InputError(f"data.root=null: set data.root to a folder of {decode.NAMES} images.")
    dataset = load_folder(
        cfg, Path(cfg.root), source=f"images in {cfg.root}", licence="the user's own images: theirs to say"
    )
    return shuffled(dataset) if cfg.order == "shuffled" else dataset


def kept(cfg: FileData, sha256: str | None) -> Dataset | None:
    """The images of this checksum as they were prepared on this machine, whatever has become of their folder."""
    stored = None if sha256 is None else find(KIND, sha256, (cfg.channels, cfg.size, cfg.size))
    if stored is None or sha256 is None:
        return None
    count = held_out_count(cfg, len(stored))
    return Dataset(
        name=cfg.name, stored=stored, levels=255, test_count=count, sha256=sha256, source=str(cfg.root), licence=""
    )


def load_folder(
    cfg: FileData, root: Path, *, source: str, licence: str, suffixes: tuple[str, ...] = decode.SUFFIXES
) -> Dataset:
    """The folder `root` as a data set with this provenance, of its images whose names end in `suffixes`."""
    size, channels = cfg.size, cfg.channels
    listing, left_out = decode.list_images(root)
    listing = [entry for entry in listing if entry[0].lower().endswith(suffixes)]
    names = [name for name, _, _ in listing]
    shape = (len(names), channels, size, size)
    recipe = {
        "root": str(root),
        "listing_sha256": hashlib.sha256(json.dumps(listing).encode()).hexdigest(),
        "size": size,
        "channels": channels,
        "how": decode.RECIPE,
    }
    test_count = held_out_count(cfg, len(names))
    labels, classes = folder_classes(names)
    stored, sha256 = prepared(KIND, recipe, shape, lambda: _decode_all(root, names, size, channels))
    return Dataset(
        name=cfg.name,
        stored=stored,
        levels=255,
        test_count=test_count,
        sha256=sha256,
        source=source,
        licence=licence,
        left_out=left_out,
        labels=labels,
        classes=classes,
    )


def folder_classes(names: list[str]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The class of each image is the first folder of its relative name: int64 [N], and the folders in natural order.

    (None, ()) unless every image lies in a folder and there are two folders or more.
    """
    folders = [name.partition("/")[0] if "/" in name else "" for name in names]
    classes = sorted(set(folders), key=decode.natural_key)
    if len(classes) < 2 or "" in classes:
        return None, ()
    place = {folder: label for label, folder in enumerate(classes)}
    return np.array([place[folder] for folder in folders]), tuple(classes)


def _decode_all(root: Path, names: list[str], size: int, channels: int) -> Iterator[np.ndarray]:
    """Blocks of uint8 [BLOCK, channels, size, size] in order; decoding runs in threads (Pillow lets go of the lock)."""
    log.info("preparing %d images of %s once", len(names), root)

    def block(start: int) -> np.ndarray:
        return np.stack([decode.decode(root / name, size, channels) for name in names[start : start + BLOCK]])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(block, range(0, len(names), BLOCK))
