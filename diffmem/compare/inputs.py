"""What decides a comparison, and the folder that is named after it: the same inputs give the same bytes."""

import hashlib
import json
from pathlib import Path
from typing import Any

from diffmem.compare.targets.base import Target
from diffmem.metrics.features import extractors


def inputs(targets: list[Target], samples: int, k: float | str, features: str | None = None) -> dict[str, Any]:
    """What decides the result: the same inputs, the same bytes."""
    space = {} if features is None else {"features": features, **extractors.about(features)}
    return space | {
        "targets": [target.label for target in targets],
        "kinds": [target.kind for target in targets],
        "groups": [str(target.group) for target in targets],
        "training_images": [target.images.identity for target in targets],
        "heldout_images": [target.images.heldout_identity for target in targets],
        "samplers": [target.how for target in targets],
        "content": [target.content for target in targets],
        "samples": samples,
        "k": k,
    }


def default_folder(targets: list[Target], chosen: dict[str, Any]) -> Path:
    """compare/<hash of the inputs>, beside the first target where that is a run."""
    name = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:8]
    folders = [Path(target.group).parent for target in targets if target.kind == "run"]
    return (folders[0] if folders else Path()) / "compare" / name
