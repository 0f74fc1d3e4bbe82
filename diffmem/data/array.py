"""Images in an array on disk: .npy, .npz, .pt or .safetensors, mapped where the file allows it.

uint8, or floats whose black and white `data.range` states; [N, C, H, W], [N, H, W, C] or [N, H, W], square. Labels lie
beside the images, under the name labels, or in `data.label_file`.
"""

from pathlib import Path

import numpy as np
import torch

from diffmem.config.data import ArrayData, FileData
from diffmem.data.dataset import CHUNK, Dataset, check_shape, content_sha256, held_out_count, shuffled
from diffmem.data.tensor_file import NAMED, load_labelled
from diffmem.errors import InputError

FLOATS = (np.float16, np.float32, np.float64)


def load(cfg: ArrayData) -> Dataset:
    """The images as they lie, or shuffled. Test: the last 2048, or the last half of fewer than 2050.

    Raises InputError where the array is of another shape or type, or holds NaN or values outside its range.
    """
    stored, labels, classes = read(cfg, cfg.label_file)
    stored = _as_images(stored, cfg.root)
    check_shape(cfg, stored.shape[1:])
    test_count = held_out_count(cfg, len(stored))
    black, white = _range(cfg, stored)
    _check_values(stored, black, white, cfg.root)
    dataset = Dataset(
        name=cfg.name,
        stored=stored,
        levels=white - black,
        black=black,
        test_count=test_count,
        sha256=content_sha256(stored),
        source=f"images in {cfg.root}",
        licence="the user's own images: theirs to say",
        labels=labels,
        classes=classes,
    )
    return shuffled(dataset) if cfg.order == "shuffled" else dataset


def shape(path: Path) -> tuple[int, int, int]:
    """(C, H, W) of the images in a file. Raises InputError as `load` does."""
    stored = _as_images(load_labelled(path)[0].numpy(), str(path))
    return stored.shape[1], stored.shape[2], stored.shape[3]


def read(cfg: FileData, label_file: str | None = None) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """The array of `cfg.root` as it lies; the class of each of its items, and the classes, or None and ()."""
    if cfg.root is None:
        raise InputError(f"data.root=null: set data.root to an array, a file that ends in {', '.join(NAMED)}.")
    path = Path(cfg.root)
    images, labels = load_labelled(path)
    if label_file is not None:
        labels, path = load_labelled(Path(label_file))[0], Path(label_file)
    if images.dtype == torch.bfloat16:
        raise InputError(f"{cfg.root} holds bfloat16: save it as float32.")
    stored = images.numpy()
    if labels is None:
        return stored, None, ()
    values = labels.numpy()
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise InputError(f"{path} holds labels that are no list of whole numbers: save one for each image.")
    if len(values) != len(stored):
        raise InputError(f"{path} holds {len(values)} labels of {len(stored)} images: give one for each image.")
    classes, places = np.unique(values, return_inverse=True)
    return stored, places.astype(np.int64), tuple(map(str, classes.tolist()))


def _as_images(stored: np.ndarray, root: str | None) -> np.ndarray:
    """[N, C, H, W] of what may have its channels last, or none."""
    if stored.ndim == 3:
        stored = stored[:, None]
    if stored.ndim == 4 and stored.shape[1] not in (1, 3) and stored.shape[3] in (1, 3):
        stored = stored.transpose(0, 3, 1, 2)
    if stored.ndim != 4 or stored.shape[1] not in (1, 3) or stored.shape[2] != stored.shape[3]:
        raise InputError(
            f"data.root={root} holds shape {list(stored.shape)}: save square images as [N, C, H, W], [N, H, W, C] or "
            "[N, H, W], with 1 or 3 channels."
        )
    return stored


def _range(cfg: ArrayData, stored: np.ndarray) -> tuple[float, float]:
    """What black and white are. Raises InputError where nobody says so."""
    if stored.dtype not in (np.uint8, *FLOATS):
        raise InputError(f"data.root={cfg.root} holds {stored.dtype}: save images as uint8, or as floats.")
    if cfg.range is not None:
        black, white = cfg.range
        return black, white
    if stored.dtype == np.uint8:
        return 0.0, 255.0
    raise InputError(
        f"data.root={cfg.root} holds {stored.dtype}, of which nobody says what black and white are: set data.range, "
        "such as data.range=[0,1]."
    )


def _check_values(stored: np.ndarray, black: float, white: float, root: str | None) -> None:
    for start in range(0, len(stored), CHUNK):
        part = stored[start : start + CHUNK]
        low, high = float(part.min()), float(part.max())
        if np.isnan(low) or np.isnan(high):
            raise InputError(f"data.root={root} holds NaN among images {start} to {start + len(part) - 1}: mend it.")
        if low < black or high > white:
            raise InputError(
                f"data.root={root} holds values from {low:g} to {high:g} among images {start} to "
                f"{start + len(part) - 1}, outside of data.range=[{black:g},{white:g}]: set the range that they have."
            )
