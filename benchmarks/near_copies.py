"""Which near copies each space finds, where thresholds let equally many held-out images pass.

    python -m benchmarks.near_copies OUT.csv [overrides]        such as data=digits data.n=256

COPIES training images are changed a little, each in five ways, and looked for by their gap ratio d1/d2 in pixels, in
principal components and in a real network's features. k is 1/3, or calibrated (`eval.k=null:RATE`) on one half of the
held-out images; `false_positives` is the share of the other half that passes. `recall` is the share of near copies that
do, with its Wilson interval. A rate that the held-out images are too few for is left out.
"""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from diffmem.config.compose import compose
from diffmem.config.settings import Config
from diffmem.data import load, outside_test, split
from diffmem.definitions import K
from diffmem.errors import InputError
from diffmem.metrics.calibration import calibrated
from diffmem.metrics.features.cache import known_features
from diffmem.metrics.features.extractors import extractor
from diffmem.metrics.features.gap import FeatureIndex
from diffmem.metrics.features.pca import Projection, principal_components
from diffmem.metrics.memorization import gap_ratio
from diffmem.metrics.search import NearestTwo, TrainingIndex
from diffmem.stats.intervals import wilson

COPIES, HELD_OUT = 200, 2000
RATES = (0.01, 0.001)
DEFAULT = ["data=fashion_mnist", "data.n=1000"]


def shifted(images: Tensor) -> Tensor:
    """One pixel to the right; the first column is repeated."""
    return F.pad(images, (1, 0, 0, 0), mode="replicate")[..., :-1]


def jpeg(images: Tensor) -> Tensor:
    """Through a JPEG file of quality 75."""
    return torch.stack([_through_jpeg(image) for image in images])


def cropped(images: Tensor) -> Tensor:
    """Without a sixteenth of the picture on each side, at its old size again (bicubic)."""
    size = images.shape[-1]
    edge = max(size // 16, 1)
    inner = images[..., edge:-edge, edge:-edge]
    return F.interpolate(inner, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda images: images,
    "shift by a pixel": shifted,
    "flip": lambda images: images.flip(-1),
    "JPEG 75": jpeg,
    "brightness x 0.8": lambda images: 0.8 * images,
    "crop and resize": cropped,
}


def _through_jpeg(image: Tensor) -> Tensor:
    values = (255 * image).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(values.squeeze(-1) if values.shape[-1] == 1 else values).save(file, "JPEG", quality=75)
    back = np.asarray(Image.open(file), np.float32) / 255
    return torch.from_numpy(back.reshape(values.shape)).permute(2, 0, 1)


def spaces(index: TrainingIndex, fit: Tensor) -> dict[str, Callable[[Tensor], NearestTwo]]:
    """Name -> search of the two nearest training images. Every image is known, so a network sees it once."""
    network = extractor("efficientnet_lite0", fit)
    projections: dict[str, Projection] = {
        "principal components of 90%": principal_components(fit),
        "efficientnet_lite0": lambda images: torch.from_numpy(known_features(network, images)),
    }
    searches: dict[str, Callable[[Tensor], NearestTwo]] = {"pixels": index.nearest_two}
    return searches | {name: FeatureIndex(index, project).nearest_two for name, project in projections.items()}


def table(config: Config) -> pd.DataFrame:
    """One row for each space, threshold and change."""
    dataset = load(config.data)
    parts = split(dataset, config.data)
    train, heldout = (parts.to_pixels(some) for some in (parts.train, parts.test[:HELD_OUT]))
    half = len(heldout) // 2
    rows = []
    for space, search in spaces(TrainingIndex(train), outside_test(dataset, 2048)).items():
        null, others = (_ratio(search(some)) for some in (heldout[:half], heldout[half:]))
        found = {name: _ratio(search(change(train[:COPIES]))) for name, change in CHANGES.items()}
        for how, k in _thresholds(null).items():
            for change, ratio in found.items():
                count = int((ratio < k).sum())
                low, high = wilson(count, len(ratio))
                known = {"data": config.data.name, "n": config.data.n, "space": space, "threshold": how, "k": k}
                passed = {"held_out": len(others), "false_positives": float((others < k).double().mean())}
                share = {"copies": len(ratio), "recall": count / len(ratio), "low": low, "high": high}
                rows.append(known | passed | {"change": change} | share)
    return pd.DataFrame(rows)


def _thresholds(null: Tensor) -> dict[str, float]:
    found = {"k = 1/3": K}
    for rate in RATES:
        try:
            found[f"null:{rate:g}"] = calibrated(null, rate)
        except InputError as error:
            print(error)
    return found


def _ratio(nearest: NearestTwo) -> Tensor:
    return gap_ratio(nearest.d1, nearest.d2)


def main(out: str, *overrides: str) -> None:
    found = table(compose(list(overrides) or DEFAULT))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    found.to_csv(out, index=False, float_format="%.6g")
    wide = found.pivot_table(index=["space", "threshold", "k", "false_positives"], columns="change", values="recall")
    print(wide[list(CHANGES)].round(3).to_string())


if __name__ == "__main__":
    main(*sys.argv[1:])
