"""A data set of the Hugging Face hub: an image column of one split, decoded as the files of a folder are.

`data.root` is name or name@revision, or a local folder that the library `datasets` can read. Its cache is honoured: a
set that lies there is read without a network. Rows go block by block into this project's own prepared array.
"""

import contextlib
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from diffmem.config.data import HubData
from diffmem.data import decode
from diffmem.data.cache import prepared
from diffmem.data.dataset import Dataset, held_out_count, shuffled
from diffmem.errors import InputError, first_line

KIND = "hub"  # of an entry of the cache
BLOCK = 64  # images that one thread decodes at a time
SECONDS = 10.0  # that the hub has to answer


def load(cfg: HubData) -> Dataset:
    """The images of `data.column` in `data.split`, in the order of its rows, or shuffled.

    Test: the last 2048, or the last half of fewer than 2050. Raises InputError where the library, the set, the split or
    the column is missing, where no network is and the cache does not hold the set, and for what is no image.
    """
    if cfg.root is None:
        raise InputError("data.root=null: set data.root to a data set of the hub, as name or name@revision.")
    try:
        import datasets
    except ImportError as error:
        raise InputError("data=hub needs the extra hub: pip install 'diffmem[hub]'.") from error
    rows, licence = _rows(datasets, cfg, cfg.root)
    column = _image_column(datasets, cfg, rows)
    label_column = _label_column(datasets, cfg, rows)
    count = len(rows)
    test_count = held_out_count(cfg, count)
    shape = (count, cfg.channels, cfg.size, cfg.size)
    recipe = {
        "rows": rows._fingerprint,
        "column": column,
        "size": cfg.size,
        "channels": cfg.channels,
        "how": decode.RECIPE,
    }
    images = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    stored, sha256 = prepared(KIND, recipe, shape, lambda: _decode_all(images, column, cfg))
    dataset = Dataset(
        name=cfg.name,
        stored=stored,
        levels=255,
        test_count=test_count,
        sha256=sha256,
        source=f"{cfg.root}, split {cfg.split}",
        licence=licence,
        labels=None if label_column is None else np.array(rows[label_column], dtype=np.int64),
        classes=() if label_column is None else tuple(rows.features[label_column].names),
    )
    return shuffled(dataset) if cfg.order == "shuffled" else dataset


def _rows(datasets: Any, cfg: HubData, root: str) -> tuple[Any, str]:
    """The split as a table, and the licence that the set's card states."""
    name, _, revision = (root, "", "") if Path(root).exists() else root.partition("@")
    reached, licence, pinned = True, None, None
    if not Path(name).exists():
        reached, licence, pinned = _ask(name, revision or None)
    try:
        with contextlib.nullcontext() if reached else _offline(datasets):
            rows = datasets.load_dataset(name, split=cfg.split, revision=pinned or revision or None)
    except Exception as error:  # the library's errors are of many kinds
        if not reached:
            raise InputError(
                f"data.root={root} is not in the cache of the library datasets, and the hub can't be reached: fetch it "
                "where there is a network, or set HF_HOME to a cache that holds it."
            ) from error
        raise InputError(f"data.root={root} data.split={cfg.split} can't be had ({first_line(error)}).") from error
    return rows, licence or rows.info.license or "not stated: look at the set's page"


def _ask(name: str, revision: str | None) -> tuple[bool, str | None, str | None]:
    """Whether the hub answers; the licence and the commit that it names."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        about = HfApi().dataset_info(name, revision=revision, timeout=SECONDS)
    except HfHubHTTPError as error:
        raise InputError(f"data.root={name} is no data set that the hub gives ({first_line(error, 120)}).") from error
    except ValueError as error:  # no name that the hub could have
        raise InputError(f"data.root={name} is no folder and no name of a data set: give name[@revision].") from error
    except Exception:  # no network, in any of the ways of a client
        return False, None, None
    return True, getattr(about.card_data, "license", None), about.sha


@contextlib.contextmanager
def _offline(datasets: Any) -> Iterator[None]:
    """Have the libraries look into their cache alone: else they ask for half a minute, and then look there."""
    from huggingface_hub import constants

    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before


def _image_column(datasets: Any, cfg: HubData, rows: Any) -> str:
    found = [name for name, feature in rows.features.items() if isinstance(feature, datasets.Image)]
    if cfg.column is None and len(found) == 1:
        return found[0]
    if cfg.column in found:
        return str(cfg.column)
    what = "null" if cfg.column is None else f"{cfg.column}, which is no column of images"
    raise InputError(f"data.column={what}: data.root={cfg.root} has {', '.join(found) or 'none'} of images.")


def _label_column(datasets: Any, cfg: HubData, rows: Any) -> str | None:
    found = [name for name, feature in rows.features.items() if isinstance(feature, datasets.ClassLabel)]
    if cfg.label_column is None:
        return found[0] if len(found) == 1 else None
    if cfg.label_column in found:
        return cfg.label_column
    raise InputError(
        f"data.label_column={cfg.label_column} is no column of class labels: data.root={cfg.root} has "
        f"{', '.join(found) or 'none'}."
    )


def _decode_all(images: Any, column: str, cfg: HubData) -> Iterator[np.ndarray]:
    """Blocks of uint8 [BLOCK, channels, size, size] in the order of the rows."""

    def block(start: int) -> np.ndarray:
        part = images[start : start + BLOCK][column]
        return np.stack([_decoded(one, start + place, cfg) for place, one in enumerate(part)])

    with ThreadPoolExecutor() as pool:
        yield from pool.map(block, range(0, len(images), BLOCK))


def _decoded(encoded: dict[str, Any] | None, row: int, cfg: HubData) -> np.ndarray:
    name = f"the image of row {row} of data.root={cfg.root}"
    if encoded is None:
        raise InputError(f"{name} is missing: choose another data.column, or mend the set.")
    content = encoded["bytes"]
    return decode.decode(
        Path(encoded["path"]) if content is None else io.BytesIO(content), cfg.size, cfg.channels, name
    )
