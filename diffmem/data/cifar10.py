"""CIFAR-10: 60,000 photographs of ten kinds of things, 32x32 in colour, as any of the files that it is passed on in.

`data.root` is the python or the binary archive (.tar.gz), a folder of what one of them holds, or a folder of the hub's
parquet files. All give the same images in the same order; nothing of a pickle is run (`cifar_pickle`).
"""

import io
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from diffmem.config.data import Cifar10Data
from diffmem.data import cifar_pickle, decode
from diffmem.data.dataset import Dataset, check_shape, content_sha256, held_out_count, shuffled
from diffmem.errors import InputError, first_line
from diffmem.files import check_regular, read_bytes

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
SPELT = tuple(spelt for name in BATCHES for spelt in (name, f"{name}.bin"))
SHAPE = (3, 32, 32)
LARGEST = 1 << 26  # bytes of one batch
GIVE = (
    "set data.root to cifar-10-python.tar.gz, to cifar-10-binary.tar.gz, to a folder of the batches in one of them, or "
    "to a folder of the hub's train*.parquet and test*.parquet"
)

Batch = tuple[np.ndarray, np.ndarray]  # uint8 [N, 3072] and the labels [N]


def load(cfg: Cifar10Data) -> Dataset:
    """All batches, the test batch last, in a keyed order: [60000, 3, 32, 32].

    Raises InputError where one is missing, cut short or no such batch.
    """
    check_shape(cfg, SHAPE)
    if cfg.root is None:
        raise InputError(f"data.root=null: CIFAR-10 comes with no package, so {GIVE}.")
    root = Path(cfg.root)
    if not root.exists():
        raise InputError(f"data.root={root} does not exist: {GIVE}.")
    parquet = _parquet_files(root)
    batches = [_from_parquet(paths) for paths in parquet] if parquet else list(_batches(root))
    rows = np.concatenate([images for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches]).astype(np.int64)
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(CLASSES):
        raise InputError(f"data.root={root} holds a label that is none of 0 to 9: get its files again.")
    stored = rows.reshape(-1, *SHAPE)
    return shuffled(
        Dataset(
            name=cfg.name,
            stored=stored,
            levels=255,
            test_count=held_out_count(cfg, len(stored)),
            sha256=content_sha256(stored),
            source="A. Krizhevsky, Learning multiple layers of features from tiny images, 2009",
            licence="none stated by its authors; for research",
            labels=labels,
            classes=CLASSES,
        )
    )


def _batches(root: Path) -> Iterator[Batch]:
    """The six batches of an archive or a folder, in their order."""
    files = (_in_folder if root.is_dir() else _in_archive)(root)
    for name in BATCHES:
        for spelt, read in ((name, _python), (f"{name}.bin", _binary)):
            if spelt in files:
                try:
                    yield read(files[spelt])
                except InputError as error:
                    raise InputError(f"{spelt} of data.root={root} {error}: get it again.") from error
                break
        else:
            raise InputError(f"data.root={root} holds no {name} (or {name}.bin): {GIVE}.")


def _in_folder(root: Path) -> dict[str, bytes]:
    """The batches in `root`, or in the folder of an archive that was unpacked there."""
    for folder in (root, root / "cifar-10-batches-py", root / "cifar-10-batches-bin"):
        found = [folder / spelt for spelt in SPELT if (folder / spelt).exists()]
        if found:
            return {path.name: read_bytes(path, LARGEST) for path in found}
    return {}


def _in_archive(root: Path) -> dict[str, bytes]:
    """The batches of a tar archive, read in one pass; nothing is unpacked to the disk."""
    found: dict[str, bytes] = {}
    try:
        check_regular(root)
        with tarfile.open(root) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if name in SPELT and member.isreg():
                    if member.size > LARGEST:
                        raise InputError(f"{name} of data.root={root} has {member.size} bytes, which no batch has.")
                    file = archive.extractfile(member)
                    assert file is not None  # a regular member
                    found[name] = file.read()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise InputError(f"data.root={root} can't be read as an archive ({first_line(error)}): {GIVE}.") from error
    return found


def _python(content: bytes) -> Batch:
    return cifar_pickle.read(content)


def _binary(content: bytes) -> Batch:
    """Records of one label and 3072 pixels. Raises InputError where the bytes are no whole number of them."""
    record = 1 + 3072
    if not content or len(content) % record:
        raise InputError(f"has {len(content)} bytes, which are no whole number of records of {record}")
    rows = np.frombuffer(content, np.uint8).reshape(-1, record)
    return rows[:, 1:], rows[:, 0]


def _parquet_files(root: Path) -> list[list[Path]]:
    """The parquet files of the training and of the test part, where `root` is a folder of such; else none."""
    if not root.is_dir():
        return []
    parts = [sorted(root.rglob(f"{part}*.parquet")) for part in ("train", "test")]
    if any(parts) and not all(parts):
        raise InputError(f"data.root={root} holds the parquet files of one part alone: {GIVE}.")
    return parts if all(parts) else []


def _from_parquet(paths: list[Path]) -> Batch:
    """Encoded images in a column `img` or `image`, and `label`."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise InputError("parquet files need the extra compare: pip install 'diffmem[compare]'.") from error
    images: list[np.ndarray] = []
    labels: list[int] = []
    for path in paths:
        try:
            with parquet.ParquetFile(path) as file:
                column = next(name for name in ("img", "image") if name in file.schema_arrow.names)
                for batch in file.iter_batches(1024, columns=[column, "label"]):
                    images += [_decoded(row["bytes"], path) for row in batch.column(column).to_pylist()]
                    labels += batch.column("label").to_pylist()
        except InputError:
            raise
        except Exception as error:  # a damaged file, or one of other columns
            why = first_line(error) if str(error) else "no columns img and label"
            raise InputError(f"{path} can't be read as CIFAR-10 ({why}): get it again.") from error
    return np.stack(images).reshape(-1, 3072), np.array(labels)


def _decoded(encoded: bytes, path: Path) -> np.ndarray:
    return decode.decode(io.BytesIO(encoded), 32, 3, name=f"an image of {path}")
