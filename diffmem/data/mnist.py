"""MNIST: 70,000 handwritten digits, 28x28 gray padded with zeros to 32x32, from IDX files in `data.root`."""

from pathlib import Path

from diffmem.config.data import MnistData
from diffmem.data.dataset import Dataset
from diffmem.data.idx import load_idx
from diffmem.errors import InputError

HINT = "set data.root to a folder with MNIST's four IDX files, plain or gzipped"


def load(cfg: MnistData) -> Dataset:
    """Training then test files as [70000, 1, 32, 32]. Raises InputError where they are missing or damaged."""
    if cfg.root is None:
        raise InputError(f"data.root=null: MNIST comes with no package here, so {HINT}.")
    return load_idx(
        cfg,
        Path(cfg.root),
        HINT,
        source="Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to document "
        "recognition, Proceedings of the IEEE, 1998",
        licence="CC BY-SA 3.0",
        classes=tuple("0123456789"),
    )
