"""Fashion-MNIST: 70,000 gray images of clothes, 28x28 padded with zeros to 32x32.

Read from IDX files, gzipped or not, in `data.root` or where Debian's package dataset-fashion-mnist puts them.
"""

from pathlib import Path

from diffmem.config.data import FashionMnistData
from diffmem.data.dataset import Dataset
from diffmem.data.idx import load_idx

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
HINT = "install the Debian package dataset-fashion-mnist, or set data.root to a folder with Fashion-MNIST's IDX files"
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def load(cfg: FashionMnistData) -> Dataset:
    """Training then test files as [70000, 1, 32, 32]. Raises InputError where they are missing or damaged."""
    return load_idx(
        cfg,
        DEBIAN if cfg.root is None else Path(cfg.root),
        HINT,
        source="H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST, arXiv 1708.07747, 2017",
        licence="MIT",
        classes=CLASSES,
    )
