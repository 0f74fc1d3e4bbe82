"""Latents of images in an array on disk, [N, C, H, W] floats as an encoder gives them, with the decoder's folder.

There is no black and white: a latent's range is that of the whole array, and what stands for its pixels is its place
in that range. `data.scale` and the mean of each channel make model space of these, as of pixels. `decoder` makes
images of them.
"""

from pathlib import Path

import numpy as np

from diffmem.config.data import LatentsData
from diffmem.data.array import FLOATS, read
from diffmem.data.dataset import CHUNK, Dataset, content_sha256, held_out_count, shuffled
from diffmem.errors import InputError
from diffmem.models.decoder import Decoder


def load(cfg: LatentsData) -> Dataset:
    """The latents as they lie, or shuffled. Test: the last 2048, or the last half of fewer than 2050.

    Raises InputError where the array is of another shape or type, or holds NaN or infinite values.
    """
    stored, labels, classes = read(cfg)
    if stored.ndim != 4 or stored.dtype not in FLOATS or stored.shape[2] != stored.shape[3]:
        raise InputError(
            f"data.root={cfg.root} holds {stored.dtype} {list(stored.shape)}: save latents as floats [N, C, H, W], "
            "square, as the encoder gives them."
        )
    for option, value, has in (("size", cfg.size, stored.shape[3]), ("channels", cfg.channels, stored.shape[1])):
        if value != has:
            raise InputError(f"data.{option}={value} does not fit data.root={cfg.root}: set data.{option}={has}.")
    low, high = _range(stored, cfg.root)
    dataset = Dataset(
        name=cfg.name,
        stored=stored,
        levels=high - low,
        black=low,
        test_count=held_out_count(cfg, len(stored)),
        sha256=content_sha256(stored),
        source=f"latents in {cfg.root}",
        licence="the user's own latents: theirs to say",
        labels=labels,
        classes=classes,
        decoder=None if cfg.decoder is None else Decoder(Path(cfg.decoder), cfg.channels),
    )
    return shuffled(dataset) if cfg.order == "shuffled" else dataset


def _range(stored: np.ndarray, root: str | None) -> tuple[float, float]:
    """The least and the greatest value, of which no two are alike and none is NaN."""
    ends = [
        (float(part.min()), float(part.max()))
        for part in (stored[start : start + CHUNK] for start in range(0, len(stored), CHUNK))
    ]
    low, high = np.min([low for low, _ in ends], initial=np.inf), np.max([high for _, high in ends], initial=-np.inf)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"data.root={root} holds NaN or infinite values, or nothing: mend it.")
    if low == high:
        raise InputError(f"data.root={root} holds {low:g} and nothing else: give latents.")
    return float(low), float(high)
