"""Pieces of two photographs, 32x32 in colour, no two of which overlap: a bundled set of real colours, no download.

`photographs.webp` holds, without loss, the photographs that scikit-learn's load_sample_images gives, the one over the
other: 427x640 each, so 13 x 20 pieces.
"""

from importlib import resources

import numpy as np

from diffmem.config.data import PatchesData
from diffmem.data.dataset import Dataset, check_shape, content_sha256, shuffled

SIDE = 32
TEST_COUNT = 160
CLASSES = ("a pavilion in China", "a dahlia")  # the photograph that a piece is of


def load(cfg: PatchesData) -> Dataset:
    """All pieces as [520, 3, 32, 32]. Raises InputError for another data.size or data.channels."""
    check_shape(cfg, (3, SIDE, SIDE))
    stored = np.concatenate([_pieces(photograph) for photograph in photographs()])
    return shuffled(
        Dataset(
            name=cfg.name,
            stored=stored,
            levels=255,
            test_count=TEST_COUNT,
            sha256=content_sha256(stored),
            source="pieces of china.jpg by danielbuechele and flower.jpg by vultilion (flickr.com), as scikit-learn "
            "ships them",
            licence="CC BY 2.0",
            labels=np.repeat(np.arange(len(CLASSES)), len(stored) // len(CLASSES)),
            classes=CLASSES,
        )
    )


def photographs() -> np.ndarray:
    """uint8 [2, 427, 640, 3]."""
    from PIL import Image

    with resources.files("diffmem.data").joinpath("photographs.webp").open("rb") as file:
        both = np.asarray(Image.open(file, formats=["WEBP"]))
    return both.reshape(2, -1, *both.shape[1:])


def _pieces(photograph: np.ndarray) -> np.ndarray:
    """[H, W, 3] cut from the upper left into [pieces, 3, SIDE, SIDE]; what is left at the edges is not used."""
    rows, columns = (extent // SIDE for extent in photograph.shape[:2])
    cut = photograph[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE, 3)
    return np.ascontiguousarray(cut.transpose(0, 2, 4, 1, 3)).reshape(-1, 3, SIDE, SIDE)
