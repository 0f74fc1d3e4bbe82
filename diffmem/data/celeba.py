"""CelebA faces at 1x32x32 gray, in natural order: the data of Bonnaire et al. 2025.

`data.root` is the folder of aligned JPEGs, or the tensor that the study's code reads (`CelebA32.pt`: float32
[N, 1, 32, 32] in [0, 1]), or a folder that holds it. The two differ by about half a
pixel of the 32: the study shrinks the shorter side and then cuts the square, here the square is cut and then shrunk.
"""

from pathlib import Path

import numpy as np
import torch

from diffmem.config.data import CelebaData
from diffmem.data.dataset import CHUNK, Dataset, check_shape, content_sha256, held_out_count
from diffmem.data.image_folder import load_folder
from diffmem.data.tensor_file import load_tensor
from diffmem.errors import InputError

SOURCE = "Z. Liu, P. Luo, X. Wang and X. Tang, Deep Learning Face Attributes in the Wild, ICCV 2015"
LICENCE = "non-commercial research only (CelebA agreement)"


def load(cfg: CelebaData) -> Dataset:
    """CelebA from images or from the study's tensor. Test: the last 2048, or the last half of fewer than 2050.

    Raises InputError where neither is found, or where the tensor is not one of images in [0, 1].
    """
    if cfg.root is None:
        raise InputError(
            "data.root=null: CelebA may not be passed on, so set data.root to your folder of its aligned images "
            "(img_align_celeba) or to the tensor CelebA32.pt."
        )
    root = Path(cfg.root)
    tensor_path = root if root.suffix == ".pt" else root / f"CelebA{cfg.size}.pt"
    if root.suffix != ".pt" and not tensor_path.is_file():
        return load_folder(cfg, root, source=SOURCE, licence=LICENCE)
    stored = _read_tensor(tensor_path)
    check_shape(cfg, stored.shape[1:])
    return Dataset(
        name=cfg.name,
        stored=stored,
        levels=1,
        test_count=held_out_count(cfg, len(stored)),
        sha256=content_sha256(stored),
        source=SOURCE,
        licence=LICENCE,
    )


def _read_tensor(path: Path) -> np.ndarray:
    """float32 [N, C, H, W] in [0, 1], mapped from disk where the file allows it."""
    tensor = load_tensor(path)
    if tensor.dtype != torch.float32:
        raise InputError(f"{path} holds no dense float32 tensor: save images as float32 [N, C, H, W] in [0, 1].")
    if tensor.ndim != 4 or tensor.shape[2] != tensor.shape[3]:
        raise InputError(f"{path} holds shape {tuple(tensor.shape)}: save images as square float32 [N, C, H, W].")
    for chunk in tensor.split(CHUNK):
        if not ((chunk >= 0) & (chunk <= 1)).all():
            raise InputError(f"{path} holds values outside [0, 1]: save pixels in [0, 1], neither centred nor scaled.")
    return tensor.numpy()
