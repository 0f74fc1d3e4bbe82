"""The same numbers as the codes that others use, on the same features and, where they have one, the same network.

    pip install --no-deps torchmetrics lightning-utilities torch-fidelity pytorch-fid clean-fid prdc
    python -m benchmarks.parity OUT.csv

Features are those of 2,600 and 2,600 images of Fashion-MNIST: six of a small random network, and the 1,280 of
EfficientNet-Lite0, which is given 64x64 pixels to be quick: what is compared is what the codes make of features.

Three codes import torchvision, for its data sets alone: a placeholder stands for it, so that it need not be installed.
 `relative` is |ours - theirs| / |theirs|.
"""

import importlib.abc
import importlib.machinery
import io
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from diffmem.config.compose import compose
from diffmem.data import load
from diffmem.metrics.features import efficientnet
from diffmem.metrics.features.cache import known_features
from diffmem.metrics.features.inception_network import Inception
from diffmem.metrics.features.network import Network
from diffmem.metrics.features.resize import RESIZE
from diffmem.metrics.frechet import statistics
from diffmem.metrics.standard import MEASURES
from tests.helpers.networks import Layers, by_formula

Row = tuple[str, str, float, float]  # code, measure, ours, theirs


class _Anything(type):
    """Of an empty class that has whatever is asked of it, as another such class."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})


class _Placeholder(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})


class _NoTorchvision(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a placeholder for torchvision and everything in it."""

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        inside = name.partition(".")[0] == "torchvision"
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if inside else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Placeholder(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def of_features(real: np.ndarray, drawn: np.ndarray) -> Iterator[Row]:
    """Every measure that others have, of features [M, D] of both."""
    kinds = ("fd", "kid", "prdc")
    ours = {name: value for kind in kinds for name, value in MEASURES[kind].against(real)(drawn).items()}
    yield from _torchmetrics(ours, real, drawn)
    yield from _torch_fidelity(ours, real, drawn)
    yield "pytorch-fid", "fd", ours["fd"], _pytorch_fid(*statistics(real), *statistics(drawn))
    with redirect_stdout(io.StringIO()):
        from prdc import compute_prdc

        for k, names in ((3, ("precision", "recall")), (5, ("density", "coverage"))):
            found = compute_prdc(real_features=real, fake_features=drawn, nearest_k=k)
            yield from (("prdc", name, ours[name], found[name]) for name in names)


def _torchmetrics(ours: dict[str, float], real: np.ndarray, drawn: np.ndarray) -> Iterator[Row]:
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    same = torch.nn.Identity()
    same.num_features = real.shape[1]
    for name, metric in (
        ("fd", FrechetInceptionDistance(feature=same).set_dtype(torch.float64)),
        ("kid", KernelInceptionDistance(feature=same, subsets=1, subset_size=len(real))),
    ):
        metric.update(torch.from_numpy(real), real=True)
        metric.update(torch.from_numpy(drawn), real=False)
        found = metric.compute()
        yield "torchmetrics", name, ours[name], float(found[0] if isinstance(found, tuple) else found)


def _torch_fidelity(ours: dict[str, float], real: np.ndarray, drawn: np.ndarray) -> Iterator[Row]:
    from torch_fidelity import metric_fid, metric_kid, metric_prc

    a, b = torch.from_numpy(drawn), torch.from_numpy(real)
    sizes = {"kid_subsets": 1, "kid_subset_size": len(real), "verbose": False, "save_cpu_ram": False}
    both = (metric_fid.fid_features_to_statistics(x) for x in (a, b))
    yield (
        "torch-fidelity",
        "fd",
        ours["fd"],
        metric_fid.fid_statistics_to_metric(*both, False)[metric_fid.KEY_METRIC_FID],
    )
    kid = metric_kid.kid_features_to_metric(a, b, **sizes)
    yield "torch-fidelity", "kid", ours["kid"], kid[metric_kid.KEY_METRIC_KID_MEAN]
    found = metric_prc.prc_features_to_metric(a, b, **sizes)
    yield from (("torch-fidelity", name, ours[name], found[name]) for name in ("precision", "recall"))


def _pytorch_fid(*gaussians: np.ndarray) -> float:
    from pytorch_fid import fid_score

    sqrtm = fid_score.linalg.sqrtm
    fid_score.linalg.sqrtm = lambda matrix, disp=False: (sqrtm(matrix), 0.0)  # newer SciPy has no `disp`
    try:
        return float(fid_score.calculate_frechet_distance(*gaussians))
    finally:
        fid_score.linalg.sqrtm = sqrtm


def of_networks(images: Tensor) -> Iterator[Row]:
    """Norms of features of Inception under weights by a formula, and of resized images [M, 3, H, W] in 8 bits."""
    from cleanfid.resize import build_resizer
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Theirs(FeatureExtractorInceptionV3):
        def load_state_dict(self, state: object) -> None:
            """Its weights are not here."""

    sys.modules[FeatureExtractorInceptionV3.__module__].load_state_dict_from_url = lambda *a, **b: None  # type: ignore[attr-defined]
    theirs, net = Theirs("inception", ["2048"]), Inception()
    torch.nn.Module.load_state_dict(theirs, by_formula(net))
    gray = (128 / 255,) * 3
    network = Network(module=net, size=299, resize="legacy_tensorflow", mean=gray, std=gray, eight_bits=True)
    ours = network.extractor("inception", tuple(images.shape[1:]), torch.device("cpu"))(images / 255)
    with torch.no_grad():
        expected = theirs(images)[0].double().numpy()
    for place in range(len(images)):
        yield "torch-fidelity", f"features of image {place}", *_along(ours[place], expected[place])
    for name, mode in (("clean", "clean"), ("legacy_pytorch", "legacy_pytorch")):
        resize = build_resizer(mode)
        for place, image in enumerate(images):
            expected = resize(image.permute(1, 2, 0).numpy()).transpose(2, 0, 1).astype(np.float64)
            found = 255 * RESIZE[name](image[None] / 255, 299)[0].double().numpy()
            yield "clean-fid", f"{name}, image {place}", *_along(found, expected)


def _along(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Norms whose difference is the norm of the difference: theirs + |ours - theirs|, theirs."""
    size = float(np.linalg.norm(theirs))
    return size + float(np.linalg.norm(ours - theirs)), size


COUNT = 2600  # twice 1,280 features, and some


def table(count: int = COUNT) -> pd.DataFrame:
    """One row for each code and measure."""
    dataset = load(compose(["data=fashion_mnist", "data.n=64"]).data)
    real, other = dataset.read(0, count), dataset.read(count, 2 * count)
    drawn = (other * 0.9).clamp(0, 1)  # darker, so that no distance is nearly zero
    rows: list[tuple[object, ...]] = []
    small = Network(module=Layers(channels=1), channels=1, mean=(0.0,), std=(1.0,))
    real_one = replace(efficientnet.load(efficientnet.locate()), size=64)
    for space, network in (("six random features", small), ("efficientnet_lite0 at 64x64", real_one)):
        by = network.extractor(space, (1, 32, 32), torch.device("cpu"))
        for code, name, mine, theirs in of_features(known_features(by, real), known_features(by, drawn)):
            rows.append((code, name, space, count, mine, theirs))
    colour = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8))
    rows += [(code, name, "inception, weights by formula", 2, *pair) for code, name, *pair in of_networks(colour)]
    found = pd.DataFrame(rows, columns=["code", "measure", "space", "M", "ours", "theirs"])
    found.insert(1, "version", [version(code) for code in found["code"]])
    return found.assign(relative=(found["ours"] - found["theirs"]).abs() / found["theirs"].abs())


def main(out: str) -> None:
    warnings.simplefilter("ignore")
    sys.meta_path.insert(0, _NoTorchvision())
    found = table()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    found.to_csv(out, index=False, float_format="%.10g")
    print(found.to_string(index=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
